"""An M3 model on a BERT encoder: tiny-bert and two heads. BERT's tokenizer has no eos token, so `[SEP]` has a weight."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.parity.checkpoints import MODELS

SEED, WIDTH = 20_280, 32
HEADS = (("sparse_linear.pt", 1, SEED), ("colbert_linear.pt", WIDTH, SEED + 1))
Head = dict[str, np.ndarray[Any, Any]]


def make_bert_m3(folder: Path, write: Callable[[Head], bytes]) -> Path:
    """Make the checkpoint in `folder`, which must not exist; `write` gives a file of torch with these tensors."""
    shutil.copytree(MODELS / "tiny-bert", folder)
    for file, outputs, seed in HEADS:
        (folder / file).write_bytes(write(random_head(outputs, seed)))
    return folder


def random_head(outputs: int, seed: int) -> Head:
    """Weight and bias of a linear layer, in fp16 as BAAI stores them."""
    generator = np.random.Generator(np.random.PCG64(seed))
    weight = generator.standard_normal((outputs, WIDTH)) * 1.2 / np.sqrt(WIDTH)
    bias = 0.2 * generator.standard_normal(outputs)
    return {"weight": weight.astype(np.float16), "bias": bias.astype(np.float16)}
