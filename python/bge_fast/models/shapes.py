"""What calls take and give, for type checkers: arrays by their number of axes, and FlagEmbedding's dictionaries."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal, TypedDict, TypeVar

import numpy as np

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Array = np.ndarray[Any, Any]
Out = TypeVar("Out", bound=Array)
"""An array of the caller's that results are written to."""
Scores = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Weights = defaultdict[str, float]
"""Lexical weights of a text by token id, the id written as ``str``."""
Texts = str | Iterable[str]
Pair = tuple[str, str] | list[str]
"""A query and a passage."""
Pairs = Iterable[Pair]
Numpy = Literal[True] | None
"""Of ``convert_to_numpy``: where arrays come back, of a model that was opened with ``True``."""
Devices = str | int | list[str] | list[int] | None
"""What ``devices=`` may be; ``None`` takes the best that there is."""


class M3Output(TypedDict):
    """BGE-M3's output for many texts; ``None`` for what was not asked for."""

    dense_vecs: Matrix | None
    lexical_weights: list[Weights] | None
    colbert_vecs: list[Matrix] | None


class M3OutputOfOne(TypedDict):
    """BGE-M3's output for one text; ``None`` for what was not asked for."""

    dense_vecs: Vector | None
    lexical_weights: Weights | None
    colbert_vecs: Matrix | None


M3PairScores = TypedDict(
    "M3PairScores",
    {
        "colbert": list[float],
        "sparse": list[float],
        "dense": list[float],
        "sparse+dense": list[float],
        "colbert+sparse+dense": list[float],
    },
)
M3PairScoresOfOne = TypedDict(
    "M3PairScoresOfOne",
    {"colbert": float, "sparse": float, "dense": float, "sparse+dense": float, "colbert+sparse+dense": float},
)
