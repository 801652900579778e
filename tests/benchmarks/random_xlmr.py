"""Checkpoints of XLM-R's shapes with random weights: an encoder, BGE-M3 with its heads, a reranker."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors_file
import torch_file
from fleet import ROOT
from safetensors_file import Array

# Its tokenizer serves: only the number of tokens counts.
_SMALL = ROOT / "tests" / "checkpoints" / "tiny-xlmr"
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "sentencepiece.bpe.model")
_DEVIATION = 0.02
_SEED = 1024


@dataclass(frozen=True)
class Shape:
    """Sizes of a checkpoint, and what stands on the encoder: nothing, ``m3`` or ``reranker``."""

    layers: int
    hidden: int = 1024
    inner: int = 4096
    heads: int = 16
    positions: int = 8194
    kind: str = ""


def m3(layers: int) -> Shape:
    """BGE-M3's, but for its vocabulary; it has 24 layers."""
    return Shape(layers, kind="m3")


def base(layers: int) -> Shape:
    """That of bge-base, but for its vocabulary and XLM-R's positions; it has 12 layers."""
    return Shape(min(layers, 12), hidden=768, inner=3072, heads=12, positions=514)


def reranker_m3(layers: int) -> Shape:
    """That of bge-reranker-v2-m3, but for its vocabulary; it has 24 layers."""
    return Shape(layers, kind="reranker")


def reranker_base(layers: int) -> Shape:
    """That of bge-reranker-base, but for its vocabulary; it has 12 layers."""
    return Shape(layers, hidden=768, inner=3072, heads=12, positions=514, kind="reranker")


def make(folder: Path, shape: Shape) -> Path:
    """Write the checkpoint, 1.2 GB with 24 layers of 1,024, unless it is there; returns its folder."""
    config = _config(shape)
    stored = folder / "config.json"
    if stored.is_file() and json.loads(stored.read_text()) == config:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(_SMALL / name, folder / name)
    source = np.random.default_rng([_SEED, shape.layers])

    def numbers(name: str, sizes: tuple[int, ...]) -> Array:
        if name.endswith("LayerNorm.weight"):
            return np.ones(sizes, np.float32)
        return source.standard_normal(sizes, np.float32) * _DEVIATION

    safetensors_file.write(folder / "model.safetensors", _shapes(shape, config["vocab_size"]), numbers)
    if shape.kind == "m3":
        for name, width in (("sparse_linear", 1), ("colbert_linear", shape.hidden)):
            head = {"weight": numbers(name, (width, shape.hidden)), "bias": numbers(name, (width,))}
            (folder / f"{name}.pt").write_bytes(torch_file.state_dict(head))
    # Last, so that a folder with it is complete.
    stored.write_text(json.dumps(config, indent=2))
    return folder


def _config(shape: Shape) -> dict[str, Any]:
    config = json.loads((_SMALL / "config.json").read_text()) | {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.positions,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
    }
    if shape.kind == "reranker":
        config |= {"architectures": ["XLMRobertaForSequenceClassification"], "id2label": {"0": "score"}}
        config["label2id"] = {"score": 0}
    return config


def _shapes(shape: Shape, words: int) -> dict[str, tuple[int, ...]]:
    prefix = "roberta." if shape.kind == "reranker" else ""
    shapes = {f"{prefix}{name}": sizes for name, sizes in _encoder_shapes(shape, words).items()}
    if shape.kind == "reranker":
        for name, width in (("dense", shape.hidden), ("out_proj", 1)):
            shapes[f"classifier.{name}.weight"] = (width, shape.hidden)
            shapes[f"classifier.{name}.bias"] = (width,)
    return shapes


def _encoder_shapes(shape: Shape, words: int) -> dict[str, tuple[int, ...]]:
    hidden, inner = shape.hidden, shape.inner
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, hidden),
        "embeddings.position_embeddings.weight": (shape.positions, hidden),
        "embeddings.token_type_embeddings.weight": (1, hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(shape.layers):
        start = f"encoder.layer.{layer}"
        products = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        products["attention.output.dense"] = (hidden, hidden)
        products["intermediate.dense"] = (inner, hidden)
        products["output.dense"] = (hidden, inner)
        for name, sizes in products.items():
            shapes[f"{start}.{name}.weight"] = sizes
            shapes[f"{start}.{name}.bias"] = sizes[:1]
        norms += [f"{start}.attention.output.LayerNorm", f"{start}.output.LayerNorm"]
    for norm in norms:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (hidden,)
    return shapes
