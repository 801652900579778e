"""Checkpoints with other activations than GELU, made of the tiny ones, and what FlagEmbedding gave for them.

golden = load("tiny-bert")        # vectors of `texts()`, by the activation's name in config.json
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.parity.cases import select_texts
from tests.parity.checkpoints import MODELS
from tests.parity.golden import FOLDER as GOLDEN
from tests.parity.golden import Vectors, load_texts, unpack_vectors
from tests.support.checkpoints import edit_json

FOLDER = GOLDEN / "activations"
NAMES = ("gelu_new", "gelu_pytorch_tanh", "relu", "silu")
# Where a configuration says it.
KEYS = {"tiny-bert": "hidden_act", "tiny-distilbert": "activation"}
EVERY = 4


def texts() -> list[str]:
    """Some of the test texts, all of them with a reference in every model."""
    known = load_texts()
    return [known[label] for label in select_texts(list(known))["some"][::EVERY]]


def with_activation(name: str, activation: str, folder: Path) -> Path:
    """A copy of a tiny checkpoint, in ``folder``, whose configuration says this activation."""
    copy = shutil.copytree(MODELS / name, folder / f"{name}-{activation}")
    edit_json(copy / "config.json", **{KEYS[name]: activation})
    return copy


def load(name: str) -> dict[str, Vectors]:
    """The recorded vectors of one checkpoint."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {activation: unpack_vectors(arrays[activation]) for activation in NAMES}
