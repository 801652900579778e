"""`bge_fast.json`, as docs/model-format.md describes it."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bge_fast_export.checkpoint import Checkpoint
from bge_fast_export.graph import Signature
from bge_fast_export.kinds import RERANKER, Kind
from bge_fast_export.verify import Difference, Parity

MANIFEST = "bge_fast.json"
FORMAT = 1

TOOLS = ("bge-fast-export", "optimum", "optimum-onnx", "torch", "transformers", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Graph:
    """One graph of the folder: its precision, what it declares, how far it is from the checkpoint."""

    precision: str
    signature: Signature
    parity: Parity


def write_manifest(
    folder: Path, checkpoint: Checkpoint, kind: Kind, max_length: int, graphs: Mapping[str, Graph]
) -> None:
    """Describe the complete `folder` and write the description into it; call it last."""
    manifest = {
        "format": FORMAT,
        "kind": kind.name,
        "architecture": checkpoint.encoder.architecture.name,
        "source": asdict(checkpoint.source),
        "pooling": checkpoint.pooling,
        "dimension": None if kind is RERANKER else checkpoint.encoder.hidden_size,
        "max_length": max_length,
        "graphs": {name: _graph_entry(graph) for name, graph in graphs.items()},
        "files": {path.relative_to(folder).as_posix(): _file_entry(path) for path in _files(folder)},
        "tools": {name: version(name) for name in TOOLS},
    }
    path = folder / MANIFEST
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _graph_entry(graph: Graph) -> dict[str, Any]:
    return {
        "precision": graph.precision,
        "opset": graph.signature.opset,
        "inputs": list(graph.signature.inputs),
        "outputs": {name: list(shape) for name, shape in graph.signature.outputs.items()},
        "parity": {
            "texts": graph.parity.texts,
            **_figures(graph.parity),
            "outputs": {name: _figures(found) for name, found in graph.parity.outputs.items()},
        },
    }


def _figures(found: Parity | Difference) -> dict[str, float | None]:
    cosine = found.min_cosine
    return {
        "max_abs": float(f"{found.max_abs:.3g}"),
        "min_cosine": None if cosine is None else round(cosine, 9),
    }


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _file_entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}
