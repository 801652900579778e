"""A model folder as it lies on disk, read and checked: what is opened, and what it says about itself."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError

MANIFEST = "bge_fast.json"
# What is read besides the graph. A listed file that is not one of these may be missing: nobody opens it here.
SIDE_FILES = (
    MANIFEST,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "1_Pooling/config.json",
)
# Where Optimum and sentence-transformers put a graph: in a folder of its own, or beside the other files.
_PLAIN_GRAPHS = ("onnx/model.onnx", "model.onnx")
_FORMAT = 1
_ARCHITECTURES = ("bert", "xlm-roberta")
_PAD_IDS = {"bert": 0, "xlm-roberta": 1}
_FILE_NAME = re.compile(r"(onnx/|1_Pooling/)?[A-Za-z0-9_][\w.-]*")
_MAX_FILES = 64


@dataclass(frozen=True)
class Source:
    """One model: the graph to open and the facts that go with it."""

    name: str
    """What the user called it: a path or a hub id."""
    origin: str
    """``model folder`` with a manifest, or ``onnx`` for somebody's plain graph."""
    folder: Path
    graph: Path
    precision: str
    architecture: str
    """``bert`` or ``xlm-roberta``."""
    dimension: int
    max_length: int
    """Most tokens of one text, special tokens included."""
    pad_id: int
    declared_pooling: str | None
    """What the checkpoint's ``1_Pooling/config.json`` says."""
    config: dict[str, Any] = field(repr=False)
    manifest: dict[str, Any] = field(repr=False, default_factory=dict)
    commit: str | None = None


def source_from_folder(name: str, folder: Path, precisions: Sequence[str], commit: str | None = None) -> Source:
    """Read a model folder, or one that only has ``onnx/model.onnx``.

    Args:
        precisions: precisions that will do, best first.

    Raises:
        ModelNotFoundError: a file is missing, or there is no graph of these precisions; says how to get one.
        ModelFormatError: files contradict each other or the manifest.
        UnsupportedModelError: not a BERT or XLM-R embedder.
    """
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"{name} has no config.json, so it is neither a model folder nor a checkpoint")
    config = read_json(folder / "config.json")
    architecture = _architecture(name, config)
    manifest = _read_manifest(name, folder) if (folder / MANIFEST).is_file() else {}
    graph, precision = _choose_graph(name, folder, manifest, precisions)
    pad_id = _number(config, "pad_token_id", _PAD_IDS[architecture], at_least=0)
    positions = _number(config, "max_position_embeddings", 512, at_least=1)
    usable = positions - pad_id - 1 if architecture == "xlm-roberta" else positions
    return Source(
        name=name,
        origin="model folder" if manifest else "onnx",
        folder=folder,
        graph=_real_graph(name, graph),
        precision=precision,
        architecture=architecture,
        dimension=_number(config, "hidden_size", 0, at_least=1),
        max_length=min(usable, _number(manifest, "max_length", usable, at_least=1)),
        pad_id=pad_id,
        declared_pooling=_declared_pooling(folder),
        config=config,
        manifest=manifest,
        commit=commit or manifest.get("source", {}).get("commit"),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelFormatError: not readable as one; names the file.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelFormatError(f"{path} holds no JSON object")
    return value


def export_command(name: str, *options: str) -> str:
    """The command that makes a model folder of a checkpoint."""
    target = Path(name.rstrip("/\\")).name + "-onnx"
    return " ".join(["bge-fast-export", name, "-o", target, *options])


def _architecture(name: str, config: dict[str, Any]) -> str:
    architecture = config.get("model_type")
    if architecture not in _ARCHITECTURES:
        raise UnsupportedModelError(
            f"{name} has the architecture {architecture!r}; supported are {' and '.join(_ARCHITECTURES)}"
        )
    classes = config.get("architectures") or []
    if not isinstance(classes, list):
        raise ModelFormatError(f"{name}: architectures of config.json is not a list")
    if any("ForSequenceClassification" in str(one) for one in classes):
        raise ModelFormatError(
            f"{name} is a reranker ({classes[0]}): it scores pairs and has no vectors; see FlagReranker"
        )
    return str(architecture)


def _read_manifest(name: str, folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != _FORMAT:
        raise ModelFormatError(
            f"{name}: {MANIFEST} has format {manifest.get('format')!r}, this bge-fast reads format {_FORMAT}. "
            "Upgrade bge-fast, or export again"
        )
    if manifest.get("kind") == "reranker":
        raise ModelFormatError(f"{name} is a reranker: it scores pairs and has no vectors; see FlagReranker")
    files, graphs = _table(name, manifest, "files"), _table(name, manifest, "graphs")
    if not isinstance(manifest.get("source"), dict):
        raise ModelFormatError(f"{name}: 'source' of {MANIFEST} is not an object")
    if len(files) > _MAX_FILES or not all(map(_FILE_NAME.fullmatch, files)):
        raise ModelFormatError(f"{name}: {MANIFEST} lists files that no model folder has")
    if unlisted := graphs.keys() - files.keys():
        raise ModelFormatError(f"{name}: {MANIFEST} does not list {', '.join(sorted(unlisted))} among its files")
    for file, facts in files.items():
        _check_size(name, folder / file, file, facts)
    return manifest


def _table(name: str, manifest: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    table = manifest.get(key)
    if not isinstance(table, dict) or not all(isinstance(facts, dict) for facts in table.values()):
        raise ModelFormatError(f"{name}: {key!r} of {MANIFEST} is not a table of facts")
    return table


def _check_size(name: str, path: Path, file: str, facts: dict[str, Any]) -> None:
    # A missing graph is noticed when it is chosen.
    if not path.exists() and file not in SIDE_FILES:
        return
    if not path.is_file():
        raise ModelNotFoundError(f"{name}: {file} is missing, {MANIFEST} lists it. Export or download it again")
    size = path.stat().st_size
    if size != facts.get("size"):
        raise ModelFormatError(
            f"{name}: {file} has {size} bytes, {MANIFEST} says {facts.get('size')}. "
            "The folder was changed after it was made; delete it and export or download again"
        )


def _choose_graph(name: str, folder: Path, manifest: dict[str, Any], precisions: Sequence[str]) -> tuple[Path, str]:
    if manifest:
        graphs = {facts.get("precision"): folder / file for file, facts in manifest["graphs"].items()}
    else:
        graphs = {"fp32": next((folder / file for file in _PLAIN_GRAPHS if (folder / file).is_file()), folder)}
    for precision in precisions:
        if precision in graphs and graphs[precision].is_file():
            return graphs[precision], precision
    if manifest or graphs["fp32"].is_file():
        checkpoint = str(manifest.get("source", {}).get("checkpoint") or name)
        command = export_command(checkpoint, "--precision", ",".join(sorted({*precisions, "fp32"})))
        raise ModelNotFoundError(
            f"{name} has no {' or '.join(precisions)} graph. Export one from its checkpoint with: {command}"
        )
    raise ModelNotFoundError(
        f"{name} has no graph (onnx/model.onnx). If it is a checkpoint, export it once with: {export_command(name)}   "
        "(pip install bge-fast-export, in an environment of its own)"
    )


def _real_graph(name: str, graph: Path) -> Path:
    """The graph's real path: ONNX Runtime refuses weights that are reached through a link."""
    real, data = graph.resolve(), graph.with_name(f"{graph.name}_data")
    if real.name != graph.name and data.exists():
        raise ModelFormatError(
            f"{name} keeps its weights beside the graph ({data.name}), which ONNX Runtime does not read through the "
            f"hub cache's links. Open it as a folder: hf download {name} --local-dir {Path(name).name}"
        )
    return real


def _declared_pooling(folder: Path) -> str | None:
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return None
    stored = read_json(path)
    if isinstance(mode := stored.get("pooling_mode"), str):  # as sentence-transformers writes it from 5.7 on
        return mode
    modes = [key for key, on in stored.items() if key.startswith("pooling_mode_") and on is True]
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    return "+".join(names.get(mode, mode.removeprefix("pooling_mode_")) for mode in modes) or None


def _number(values: dict[str, Any], key: str, default: int, at_least: int) -> int:
    value = values.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value < 2**31:
        raise ModelFormatError(f"{key} must be a whole number of at least {at_least}, found {value!r}")
    return value
