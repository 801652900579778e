"""Checkpoints of random numbers with the sizes of real ones, and texts of so many tokens."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
# Layers, width, heads.
SIZES = {"tiny": (2, 128, 4), "small": (12, 384, 12), "base": (12, 768, 12), "large": (24, 1024, 16)}
FLOPS_AT_BEST = 790e12
_VOCABULARY = 30522


def path_of(models: Path, size: str) -> Path:
    """The folder of a checkpoint of that size, made now if it is not there."""
    folder = models / size
    if not (folder / "config.json").is_file():
        unfinished = models / f"{size}.{random.randrange(1 << 30)}"
        make(unfinished, *SIZES[size], reranker=False)
        if folder.is_dir():
            shutil.rmtree(unfinished)
        else:
            unfinished.rename(folder)
    return folder


def make(folder: Path, layers: int, width: int, heads: int, *, reranker: bool) -> None:
    """A BERT in float16 whose attention is neither flat nor on one token, with a few wide channels as real ones have."""
    shutil.copytree(CHECKPOINTS / "tiny-bert", folder)
    config = json.loads((folder / "config.json").read_text())
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    more = {"intermediate_size": 4 * width, "vocab_size": _VOCABULARY, "dtype": "float16"}
    draw = np.random.default_rng(layers * width)
    tensors = dict(_tensors(draw, layers, width))
    if reranker:
        more |= {"architectures": ["BertForSequenceClassification"], "num_labels": 1}
        tensors = {f"bert.{name}": values for name, values in tensors.items()}
        tensors |= {"classifier.weight": _drawn(draw, (1, width), 0.05), "classifier.bias": np.zeros(1, np.float16)}
        tensors |= {"bert.pooler.dense.weight": _drawn(draw, (width, width), 0.05)}
        tensors |= {"bert.pooler.dense.bias": np.zeros(width, np.float16)}
    (folder / "config.json").write_text(json.dumps({**config, **sizes, **more}))
    save(folder / "model.safetensors", tensors, "F16")


def _tensors(draw, layers, width):
    tables = {"word_embeddings": _VOCABULARY, "position_embeddings": 512, "token_type_embeddings": 2}
    for name, rows in tables.items():
        yield f"embeddings.{name}.weight", _drawn(draw, (rows, width), 0.05)
    yield from _norm(draw, "embeddings.LayerNorm", width)
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        # Scores have a standard deviation of about one.
        sharp = 1.3 / np.sqrt(width)
        for name in ("query", "key"):
            yield from _linear(draw, f"{layer}.attention.self.{name}", width, width, sharp)
        yield from _linear(draw, f"{layer}.attention.self.value", width, width, 1 / np.sqrt(width))
        yield from _linear(draw, f"{layer}.attention.output.dense", width, width, 1 / np.sqrt(width))
        yield from _norm(draw, f"{layer}.attention.output.LayerNorm", width)
        yield from _linear(draw, f"{layer}.intermediate.dense", 4 * width, width, 1 / np.sqrt(width))
        yield from _linear(draw, f"{layer}.output.dense", width, 4 * width, 1 / np.sqrt(width))
        yield from _norm(draw, f"{layer}.output.LayerNorm", width)


def _linear(draw, name, height, width, scale):
    yield f"{name}.weight", _drawn(draw, (height, width), scale)
    yield f"{name}.bias", _drawn(draw, (height,), 0.1)


def _norm(draw, name, width):
    scale = (1 + 0.1 * draw.standard_normal(width)).astype(np.float16)
    scale[draw.integers(0, width, 3)] = 4
    yield f"{name}.weight", scale
    yield f"{name}.bias", _drawn(draw, (width,), 0.1)


def _drawn(draw, shape, scale):
    return (draw.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float16)


def save(path: Path, tensors: dict[str, Any], stored: str) -> None:
    """Arrays of one type, which safetensors calls `stored`."""
    header, end = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": stored, "shape": values.shape, "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(values.data)


def _words() -> list[str]:
    vocabulary = json.loads((CHECKPOINTS / "tiny-bert" / "tokenizer.json").read_text())["model"]["vocab"]
    return sorted(word for word in vocabulary if word.isascii() and word.isalpha() and word.islower())


def text_of(tokens: int, seed: int, words: list[str] = _words()) -> str:  # noqa: B008
    """A text of so many tokens, of which two are special ones."""
    return " ".join(random.Random(seed).choices(words, k=max(tokens - 2, 0)))


def texts_of(lengths: list[int], seed: int = 0) -> list[str]:
    """A text for each length; no two are the same but of the shortest."""
    return [text_of(length, seed + place) for place, length in enumerate(lengths)]


def mixed_lengths(count: int, seed: int = 0) -> list[int]:
    """Lengths of 10 to 500 tokens."""
    draw = random.Random(seed)
    return [draw.randint(10, 500) for _ in range(count)]


def flops(size: str, lengths: list[int]) -> float:
    """Of all products for texts of these lengths."""
    layers, width, _ = SIZES[size]
    return sum(layers * (24 * width**2 + 4 * length * width) * length for length in lengths)


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        path_of(Path(sys.argv[1]), wanted)
