"""A model as it lies on disk, read and checked: what is opened, and what it says about itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from bge_fast.opening.checkpoint import INDEXES, WEIGHTS, encoder_sizes, real_files, weight_names
from bge_fast.opening.jsonfiles import read_json, whole_number_of
from bge_fast.opening.kinds import HEAD_FILES, check_kind, head_outputs, kind_of

MANIFEST = "bge_fast.json"
# What is read besides the graph. A listed file that is not one of these may be missing: nobody opens it here.
SIDE_FILES = (
    MANIFEST,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "1_Pooling/config.json",
    *INDEXES,
    *HEAD_FILES.values(),
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
    """One model: the files to open and the facts that go with them."""

    name: str
    """What the user called it: a path or a hub id."""
    origin: str
    """``checkpoint``; ``model folder`` with a manifest; or ``onnx`` for somebody's plain graph."""
    kind: str
    """``embedder``, ``m3`` or ``reranker``."""
    folder: Path
    files: dict[str, Path]
    """The graph, or the weight files of a checkpoint: the name in the folder, and where each really lies."""
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
    encoder: dict[str, int | float | str] | None = None
    """Of a checkpoint: the sizes that its graph is assembled by."""
    head_files: dict[str, Path] = field(default_factory=dict)
    """Of an M3 checkpoint: the file of each head, by its layer's name."""
    manifest: dict[str, Any] = field(repr=False, default_factory=dict)
    commit: str | None = None


def source_from_folder(
    name: str, folder: Path, precisions: Sequence[str], commit: str | None = None, wanted: str | None = None
) -> Source:
    """Read a folder: a model folder with its manifest, else a checkpoint, else one that only has ``onnx/model.onnx``.

    Args:
        precisions: precisions that will do, best first.
        commit: of a snapshot in the hub's cache.
        wanted: what it is to be opened as: ``embedder``, ``m3`` or ``reranker``; ``None`` for any.

    Raises:
        ModelNotFoundError: a file is missing, or there is no graph of these precisions; says how to get one.
        ModelFormatError: files contradict each other or the manifest.
        UnsupportedModelError: not a BERT or XLM-R model.
    """
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"{name} has no config.json, so it is neither a model folder nor a checkpoint")
    config = read_json(folder / "config.json")
    architecture = _architecture(name, config)
    manifest = _read_manifest(name, folder) if (folder / MANIFEST).is_file() else {}
    kind = kind_of(name, folder, config, manifest)
    if wanted:
        check_kind(name, kind, wanted, config)
    origin, files, precision = _choose_files(name, folder, manifest, precisions, from_hub=commit is not None)
    pad_id = whole_number_of(config, "pad_token_id", _PAD_IDS[architecture], at_least=0)
    usable = _usable_length(name, config, architecture, pad_id)
    return Source(
        name=name,
        origin=origin,
        kind=kind,
        folder=folder,
        files=files,
        precision=precision,
        architecture=architecture,
        dimension=whole_number_of(config, "hidden_size", None, at_least=1),
        max_length=min(usable, whole_number_of(manifest, "max_length", usable, at_least=1, file=MANIFEST)),
        pad_id=pad_id,
        declared_pooling=_declared_pooling(folder),
        config=config,
        encoder=encoder_sizes(name, config) if origin == "checkpoint" else None,
        head_files=_head_files(name, folder, commit is not None) if (origin, kind) == ("checkpoint", "m3") else {},
        manifest=manifest,
        commit=commit or manifest.get("source", {}).get("commit"),
    )


def exported_heads(source: Source) -> dict[str, int]:
    """Heads of a model folder's graph, by layer, with their widths."""
    graphs = source.manifest.get("graphs", {}).values()
    return next((head_outputs(graph) for graph in graphs if graph.get("precision") == source.precision), {})


def export_command(name: str, *options: str) -> str:
    """The command that makes a model folder of a checkpoint."""
    target = Path(name.rstrip("/\\")).name + "-onnx"
    return " ".join(["bge-fast-export", name, "-o", target, *options])


def _usable_length(name: str, config: dict[str, Any], architecture: str, pad_id: int) -> int:
    positions = whole_number_of(config, "max_position_embeddings", 512, at_least=1)
    # XLM-R counts positions from the one behind its padding's.
    usable = positions - pad_id - 1 if architecture == "xlm-roberta" else positions
    if usable < 1:
        raise ModelFormatError(
            f"{name}: of max_position_embeddings {positions} in config.json none is left behind pad_token_id {pad_id}"
        )
    return usable


def _architecture(name: str, config: dict[str, Any]) -> str:
    architecture = config.get("model_type")
    if architecture not in _ARCHITECTURES:
        raise UnsupportedModelError(
            f"{name} has the architecture {architecture!r:.80}; supported are {' and '.join(_ARCHITECTURES)}"
        )
    return str(architecture)


def _read_manifest(name: str, folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != _FORMAT:
        raise ModelFormatError(
            f"{name}: {MANIFEST} has format {manifest.get('format')!r}, this bge-fast reads format {_FORMAT}. "
            "Upgrade bge-fast, or export again"
        )
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


def _choose_files(
    name: str, folder: Path, manifest: dict[str, Any], precisions: Sequence[str], from_hub: bool
) -> tuple[str, dict[str, Path], str]:
    """What is opened, of what there is: its origin, the files, their precision."""
    if manifest:
        graphs = {facts.get("precision"): folder / file for file, facts in manifest["graphs"].items()}
        for precision in precisions:
            if precision in graphs and graphs[precision].is_file():
                graph = graphs[precision]
                return "model folder", {graph.name: _real_graph(name, graph)}, precision
    elif "fp32" in precisions:
        if weights := weight_names(folder):
            return "checkpoint", real_files(name, folder, weights, _inside(folder, from_hub)), "fp32"
        for file in _PLAIN_GRAPHS:
            if (folder / file).is_file():
                return "onnx", {file: _real_graph(name, folder / file)}, "fp32"
        if (folder / "adapter_config.json").is_file():
            raise UnsupportedModelError(f"{name} is an adapter (adapter_config.json): merge it into its model first")
        raise ModelNotFoundError(
            f"{name} has neither weights ({', '.join((*WEIGHTS, *INDEXES))}) nor a graph (onnx/model.onnx)"
        )
    checkpoint = str(manifest.get("source", {}).get("checkpoint") or name)
    command = export_command(checkpoint, "--precision", ",".join(sorted({*precisions, "fp32"})))
    raise ModelNotFoundError(
        f"{name} has no {' or '.join(precisions)} graph. Export one from its checkpoint with: {command}   "
        "(pip install bge-fast-export, in an environment of its own)"
    )


def _inside(folder: Path, from_hub: bool) -> Path | None:
    """Where real files must lie: a snapshot's are links into its repository's blobs."""
    return folder.parent.parent if from_hub else None


def _head_files(name: str, folder: Path, from_hub: bool) -> dict[str, Path]:
    real = real_files(name, folder, list(HEAD_FILES.values()), _inside(folder, from_hub))
    return {layer: real[file] for layer, file in HEAD_FILES.items()}


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
