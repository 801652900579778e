"""A checkpoint of XLM-R large's shape with random weights, which takes texts of 8,192 tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import safetensors_file
from fleet import ROOT
from safetensors_file import Array

# Its tokenizer serves: only the number of tokens counts.
_SMALL = ROOT / "tests" / "models" / "tiny-xlmr"
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_HIDDEN, _INNER, _HEADS, _POSITIONS = 1024, 4096, 16, 8194
_DEVIATION = 0.02


def make(folder: Path, layers: int) -> Path:
    """Write the checkpoint, 1.2 GB with 24 layers, unless it is there; returns its folder."""
    config = json.loads((_SMALL / "config.json").read_text()) | {
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "max_position_embeddings": _POSITIONS,
        "num_attention_heads": _HEADS,
        "num_hidden_layers": layers,
    }
    stored = folder / "config.json"
    if stored.is_file() and json.loads(stored.read_text()) == config:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(_SMALL / name, folder / name)
    source = np.random.default_rng(layers)

    def numbers(name: str, shape: tuple[int, ...]) -> Array:
        if name.endswith("LayerNorm.weight"):
            return np.ones(shape, np.float32)
        return source.standard_normal(shape, np.float32) * _DEVIATION

    safetensors_file.write(folder / "model.safetensors", _shapes(config["vocab_size"], layers), numbers)
    # Last, so that a folder with it is complete.
    stored.write_text(json.dumps(config, indent=2))
    return folder


def _shapes(words: int, layers: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, _HIDDEN),
        "embeddings.position_embeddings.weight": (_POSITIONS, _HIDDEN),
        "embeddings.token_type_embeddings.weight": (1, _HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        start = f"encoder.layer.{layer}"
        products = {f"attention.self.{part}": (_HIDDEN, _HIDDEN) for part in ("query", "key", "value")}
        products["attention.output.dense"] = (_HIDDEN, _HIDDEN)
        products["intermediate.dense"] = (_INNER, _HIDDEN)
        products["output.dense"] = (_HIDDEN, _INNER)
        for name, shape in products.items():
            shapes[f"{start}.{name}.weight"] = shape
            shapes[f"{start}.{name}.bias"] = shape[:1]
        norms += [f"{start}.attention.output.LayerNorm", f"{start}.output.LayerNorm"]
    for norm in norms:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (_HIDDEN,)
    return shapes
