"""What of a folder or repository is opened, best first: the one place that decides it.

*Precision* is three words here. Tensors are **stored** in one, which weight files tell the core alone. An exported
**graph** is of one, which the manifest says. The **computation** is what is asked for and what runs: that of an
exported graph is the graph's; one that is assembled from a checkpoint computes in any of `COMPUTATIONS`, whatever the
tensors are stored in.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, quoted
from bge_fast.opening.jsonfiles import read_json
from bge_fast.opening.kinds import HEAD_FILES

# Best first: safetensors need no pickle to be read.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEXES = tuple(f"{name}.index.json" for name in WEIGHTS)
MANIFEST = "bge_fast.json"
# What is read besides weights and graphs. A listed file that is not one of these may be missing: nobody opens it here.
SIDE_FILES = (
    MANIFEST,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "added_tokens.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    *INDEXES,
    *HEAD_FILES.values(),
)
# What a tokenizer is built of where there is no tokenizer.json.
VOCABULARIES = ("vocab.txt", "sentencepiece.bpe.model")
OWN = ("bf16", "int8", "int4")
"""Computations by kernels of our own: of checkpoints, on the CPU."""
COMPUTATIONS = ("fp32", "fp16", *OWN)
"""All of them. A graph can be assembled for each."""
# Where Optimum and sentence-transformers put a graph: in a folder of its own, or beside the other files.
_PLAIN_GRAPHS = ("onnx/model.onnx", "model.onnx")
_OF_A_PLAIN_GRAPH = "fp32"
_AS_STORED = "as stored"
_GRAPH = re.compile(r"(?!\.)([\w.+ -]+/)*(?!\.)[\w.+ -]+\.onnx")
_SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.(safetensors|bin)")
_MAX_SHARDS = 1000
# Weights make a graph large; one whose weights lie elsewhere is small.
_LARGE_GRAPH = 64 << 20


@dataclass(frozen=True)
class Choice:
    """Files that are opened together, by their names in the folder."""

    origin: str
    """``checkpoint``; ``model folder`` with a manifest; or ``onnx`` for somebody's plain graph."""
    files: tuple[str, ...]
    """All shards of a checkpoint, or one graph."""
    computation: str
    mark: str
    """The file that begins it: where it lies, this is what is opened, and other files that are missing are an error."""
    graph: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says about the graph."""

    @property
    def data(self) -> str | None:
        """Where a graph's weights are if they do not fit into it."""
        return None if self.origin == "checkpoint" else f"{self.files[0]}_data"

    def begun(self, folder: Path) -> bool:
        """Whether the mark is in the folder, be it as a link that leads nowhere."""
        return os.path.lexists(folder / self.mark)

    def missing(self, folder: Path) -> list[str]:
        """Files that are not in the folder; of external data, where the graph names it."""
        absent = [file for file in self.files if not (folder / file).is_file()]
        if self.data and not absent and not (folder / self.data).is_file() and _names_data(folder / self.files[0]):
            absent.append(self.data)
        return absent


def choices(
    folder: Path, manifest: Mapping[str, Any], computations: Sequence[str], onnx_file: str | None = None
) -> Iterator[Choice]:
    """What could be opened, best first, by what the folder's manifest and indexes say; not all of it need be there.

    Args:
        manifest: what `read_manifest` gives; empty where there is none.
        computations: those that will do, best first.
        onnx_file: the graph that the caller chose.

    Raises:
        ModelFormatError: an index that names no files, or names files elsewhere.
    """
    if onnx_file is not None:
        facts = manifest.get("graphs", {}).get(onnx_file)
        if not manifest:
            yield Choice("onnx", (onnx_file,), _AS_STORED, mark=onnx_file)
        elif facts:
            yield Choice("model folder", (onnx_file,), facts["precision"], mark=onnx_file, graph=facts)
        return
    if manifest:
        yield from _exported(manifest, computations)
        return
    for computation in computations:
        for single, index in zip(WEIGHTS, INDEXES, strict=True):
            yield Choice("checkpoint", (single,), computation, mark=single)
            if (folder / index).is_file():
                yield Choice("checkpoint", shard_names(folder / index), computation, mark=index)
    if _OF_A_PLAIN_GRAPH in computations:
        yield from (Choice("onnx", (graph,), _OF_A_PLAIN_GRAPH, mark=graph) for graph in _PLAIN_GRAPHS)


def chosen(
    folder: Path, manifest: Mapping[str, Any], computations: Sequence[str], onnx_file: str | None = None
) -> Choice | None:
    """The best of the choices that are begun in the folder."""
    found = choices(folder, manifest, computations, onnx_file)
    return next((choice for choice in found if choice.begun(folder)), None)


def checked_graph_name(onnx_file: Any) -> str:
    """Return a caller's ``onnx_file`` as it stands in folders and repositories.

    Raises:
        TypeError: not a path.
        ValueError: not the name of a graph inside of a folder.
    """
    if not isinstance(onnx_file, str | os.PathLike):
        raise TypeError(f"onnx_file must be a str, got {quoted(onnx_file)}")
    name = os.path.normpath(os.fspath(onnx_file))
    if not isinstance(name, str) or not _GRAPH.fullmatch(name):
        raise ValueError(
            f"onnx_file must name a graph in the model's folder, such as onnx/model.onnx, got {quoted(onnx_file)}"
        )
    return name


def graphs_of(folder: Path) -> list[str]:
    """All graphs in a folder, whatever they are called."""
    found = (path for pattern in ("*.onnx", "*/*.onnx") for path in folder.glob(pattern))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def shard_names(index: Path) -> tuple[str, ...]:
    """Names of the files that a sharded checkpoint's index lists.

    Raises:
        ModelFormatError: it names no files, or files elsewhere.
    """
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(shard, str) for shard in table.values()):
        raise ModelFormatError(f"{index}: weight_map is not a table of file names")
    shards = tuple(sorted(set(table.values())))
    if strange := [shard for shard in shards if not _SHARD.fullmatch(shard)]:
        raise ModelFormatError(f"{index} lists {strange[0][:80]!r}, which is not the name of a weight file beside it")
    if not 0 < len(shards) <= _MAX_SHARDS:
        raise ModelFormatError(f"{index} lists {len(shards)} weight files; expected 1 to {_MAX_SHARDS}")
    return shards


def _exported(manifest: Mapping[str, Any], computations: Sequence[str]) -> Iterator[Choice]:
    for computation in computations:
        for graph, facts in manifest["graphs"].items():
            if facts.get("precision") == computation:
                yield Choice("model folder", (graph,), computation, mark=graph, graph=facts)


def _names_data(graph: Path) -> bool:
    return graph.stat().st_size < _LARGE_GRAPH and f"{graph.name}_data".encode() in graph.read_bytes()
