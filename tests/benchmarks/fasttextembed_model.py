"""The files that the package fasttextembed opens, made of a bge-small-en-v1.5 checkpoint.

It would download them, which no benchmark does. `model.fte` is a header, a table of names and the tensors: matrices in
half precision, which holds every number of this model, and multiplied from the right; queries, keys and values as one.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import safetensors_file
from numpy.typing import NDArray

_HEADER = struct.Struct("<QQ11I")
_ENTRY = struct.Struct("<QQ64s6i")
_MAGIC, _VERSION = b"FTE1", 2
_ALIGNMENT = 64
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
_BUILT_FOR = (384, 12, 12, 1536, 30522)
# Three products of a layer have the names that some export gave them: the first is 1536, each layer 13 further.
_PRODUCTS = ("attention.output.dense", "intermediate.dense", "output.dense")
_FIRST_PRODUCT, _PRODUCTS_STEP = 1536, 13


def make(checkpoint: Path, folder: Path) -> Path:
    """Write `model.fte` and `vocab.tsv` into `folder`, unless they are there; returns the folder."""
    target = folder / "model.fte"
    source = checkpoint / "model.safetensors"
    if target.is_file() and target.stat().st_mtime >= source.stat().st_mtime:
        return folder
    config = json.loads((checkpoint / "config.json").read_text())
    if tuple(config[size] for size in _SIZES) != _BUILT_FOR:
        raise ValueError("fasttextembed runs bge-small-en-v1.5 alone")
    folder.mkdir(parents=True, exist_ok=True)
    words = (checkpoint / "vocab.txt").read_text(encoding="utf-8").splitlines()
    (folder / "vocab.tsv").write_text("".join(f"{word}\t{index}\n" for index, word in enumerate(words)), "utf-8")
    partial = target.with_suffix(".part")
    partial.write_bytes(_file(config, _tensors(safetensors_file.read(source))))
    partial.rename(target)
    return folder


def _tensors(weights: dict[str, safetensors_file.Array]) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for name, array in weights.items():
        if name.startswith("embeddings.") or array.ndim == 1:
            tensors[name] = array
    for layer in range(_BUILT_FOR[1]):
        start = f"encoder.layer.{layer}"
        parts = [f"{start}.attention.self.{part}" for part in ("query", "key", "value")]
        tensors[f"Attention_{layer}_qkv_weight"] = np.concatenate([weights[f"{part}.weight"].T for part in parts], 1)
        tensors[f"Attention_{layer}_qkv_bias"] = np.concatenate([weights[f"{part}.bias"] for part in parts])
        for index, name in enumerate(_PRODUCTS):
            number = _FIRST_PRODUCT + _PRODUCTS_STEP * layer + index
            tensors[f"onnx::MatMul_{number}"] = weights[f"{start}.{name}.weight"].T
    return {name: array.astype(np.float16) if array.ndim > 1 else array for name, array in tensors.items()}


def _file(config: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> bytes:
    table_at = _aligned(_HEADER.size)
    data_at = end = _aligned(table_at + _ENTRY.size * len(tensors))
    entries, data = [], []
    for name, array in tensors.items():
        shape = (*array.shape, 0, 0, 0)[:4]
        is_half = int(array.dtype == np.float16)
        entries.append(_ENTRY.pack(end, array.nbytes, name.encode(), array.ndim, *shape, is_half))
        data.append(array.tobytes().ljust(_aligned(array.nbytes), b"\0"))
        end += len(data[-1])
    sizes = [config[size] for size in (*_SIZES, "max_position_embeddings", "type_vocab_size")]
    header = _HEADER.pack(table_at, data_at, int.from_bytes(_MAGIC, "little"), _VERSION, *sizes, len(tensors), 0)
    return b"".join([header.ljust(table_at, b"\0"), *entries]).ljust(data_at, b"\0") + b"".join(data)


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT
