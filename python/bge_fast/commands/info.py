"""``bge-fast info``: what is known about a model without opening it."""

from argparse import Namespace
from typing import Any

from bge_fast.commands import output
from bge_fast.commands.defaults import defaults, locate
from bge_fast.errors import ModelNotFoundError
from bge_fast.opening.engine import checkpoint_of
from bge_fast.opening.files import ModelFiles
from bge_fast.opening.kinds import opened_by
from bge_fast.opening.manifest import verify_files
from bge_fast.runtime.library import find_libraries

# What a tokenizer is read from, or built of.
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")


def run(args: Namespace) -> int:
    """Show the facts; the network is not used."""
    files = locate(args.model, args.device, args.precision, download=False)
    _check(files)
    facts = describe(files)
    if args.verify:
        facts["verified_files"] = verify_files(files.folder, files.manifest)
    if args.json:
        output.result(output.to_json(facts))
        return 0
    rows = [row for name, value in facts.items() for row in _rows(name, value)]
    for line in output.aligned(rows):
        output.result(line)
    return 0


def _check(files: ModelFiles) -> None:
    """See as far as can be seen without a run that the model would open.

    Raises:
        ModelNotFoundError, ModelFormatError: names the file, and what is wrong with it.
    """
    if not any((files.folder / file).is_file() for file in _TOKENIZERS):
        raise ModelNotFoundError(f"{files.name} has no tokenizer: {_TOKENIZERS[0]} is missing")
    checkpoint_of(files)


def describe(files: ModelFiles) -> dict[str, Any]:
    """Facts from a model's files, under the names that ``model.info()`` has for them."""
    known = defaults(files)
    libraries = find_libraries()
    return {
        "checkpoint": files.name,
        "exported_from": files.manifest.get("source", {}).get("checkpoint"),
        **files.facts(),
        "class": opened_by(files.kind, files.config) if known.model_class != "FlagICLModel" else known.model_class,
        "pooling_method": None if files.kind == "reranker" else known.pooling,
        "query_instruction": known.query_instruction or None,
        "passage_instruction": known.passage_instruction or None,
        "graphs": files.manifest.get("graphs"),
        "tools": files.manifest.get("tools"),
        "runtime_library": str(libraries[0].path) if libraries else None,
    }


def _rows(name: str, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if name == "graphs":
        return [("graph of the folder", _graph(file, facts)) for file, facts in value.items()]
    if name == "verified_files":
        return [("verified", f"{len(value)} files have the sha256 of the manifest" if value else _NOTHING_TO_VERIFY)]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, dict):
        value = ", ".join(f"{key} {one}" for key, one in value.items())
    return [(name.replace("_", " "), repr(value) if name.endswith("_instruction") else str(value))]


_NOTHING_TO_VERIFY = "nothing: there is no manifest with hashes"


def _graph(file: str, facts: dict[str, Any]) -> str:
    parity = facts.get("parity") or {}
    measured = f", differs from torch by at most {parity['max_abs']:.1e}" if "max_abs" in parity else ""
    return f"{file} ({facts.get('precision')}, opset {facts.get('opset')}{measured})"
