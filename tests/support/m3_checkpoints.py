"""Tiny BGE-M3 checkpoints that tests may change, and heads for them."""

import shutil
import zipfile
from pathlib import Path

import numpy as np

from tests.support.checkpoints import checkpoint
from tests.support.malformed import pickled

HEADS = ("sparse_linear.pt", "colbert_linear.pt")
WIDTH = 32


def own_m3(folder: Path, *, without: tuple[str, ...] = (), name: str = "tiny-m3") -> Path:
    """A copy of a tiny checkpoint, without the named files."""
    copy = shutil.copytree(checkpoint(name), folder / name)
    for file in without:
        (copy / file).unlink()
    return copy


def bert_m3(folder: Path) -> Path:
    """The tiny BERT with heads: every token's lexical weight is 0.5, the multi-vector head changes nothing."""
    copy = own_m3(folder, name="tiny-bert")
    write_head(copy, "sparse_linear", np.zeros((1, WIDTH)), np.full(1, 0.5))
    write_head(copy, "colbert_linear", np.eye(WIDTH), np.zeros(WIDTH))
    return copy


def write_head(folder: Path, layer: str, weight: np.ndarray, bias: np.ndarray) -> None:
    """Write a head's file as torch does, in float32."""
    tensors = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    (folder / f"{layer}.pt").write_bytes(pickled(tensors))


def read_head(folder: Path, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the tiny M3's head, which are stored in float16."""
    with zipfile.ZipFile(folder / f"{layer}.pt") as file:
        weight, bias = (np.frombuffer(file.read(f"{layer}/data/{place}"), np.float16) for place in (0, 1))
    return weight.reshape(-1, WIDTH).astype(np.float32), bias.astype(np.float32)


def with_visible_weights(folder: Path) -> Path:
    """Make the first number of each row of ``colbert_vecs`` the token's lexical weight before relu."""
    (sparse, sparse_bias), (weight, bias) = read_head(folder, "sparse_linear"), read_head(folder, "colbert_linear")
    write_head(folder, "colbert_linear", np.vstack([sparse, weight[1:]]), np.hstack([sparse_bias, bias[1:]]))
    return folder


def constant_weights(folder: Path, weight: float = 0.5) -> Path:
    """Give every token the same lexical weight."""
    write_head(folder, "sparse_linear", np.zeros((1, WIDTH)), np.full(1, weight))
    return folder
