"""Texts of ids, as the inputs that encoders take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LONGEST = 1100


@dataclass(frozen=True)
class Batch:
    """Ids and mask, both ``[texts, length]``."""

    ids: np.ndarray
    mask: np.ndarray

    @property
    def padded(self) -> bool:
        return not self.mask.all()


def batches(config: dict) -> Iterator[Batch]:
    """One text as long as can be, one of a single token, three of one length, four of different lengths."""
    limit, vocab, pad = limit_of(config), config["vocab_size"], config["pad_token_id"]
    rng = np.random.default_rng(limit)
    for lengths in ((min(limit, LONGEST),), (1,), (min(limit, 13),) * 3, (2, min(limit, 100), 1, min(limit, 31))):
        mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
        ids = rng.integers(pad + 1, vocab, mask.shape)
        ids[0, -1] = vocab - 1
        if len(lengths) > 1:
            ids[1, 2] = pad  # one that is part of the text
        yield Batch(np.where(mask == 1, ids, pad), mask)


def limit_of(config: dict) -> int:
    """Most tokens of a text."""
    positions = config["max_position_embeddings"]
    return positions if config["model_type"] == "bert" else positions - config["pad_token_id"] - 1


def position_ids(config: dict, ids: np.ndarray) -> np.ndarray:
    """BERT counts from 0. XLM-R counts ids other than the pad id, from the one after it; a pad id has its own."""
    if config["model_type"] == "bert":
        return np.tile(np.arange(ids.shape[1]), (len(ids), 1))
    pad = config["pad_token_id"]
    counted = ids != pad
    return np.cumsum(counted, axis=1) * counted + pad
