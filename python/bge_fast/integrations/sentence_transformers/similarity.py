"""sentence-transformers' four similarities, of all pairs and of vectors side by side, in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_fast.errors import quoted

Array = NDArray[np.float32]


def checked_name(name: Any) -> str:
    """The name of a similarity, of sentence-transformers' enumeration too.

    Raises:
        ValueError: there is no such similarity.
    """
    plain = getattr(name, "value", name)
    if plain not in _PAIRWISE:
        raise ValueError(f"similarity_fn_name={quoted(name)} is not one of {', '.join(map(repr, _PAIRWISE))}")
    return str(plain)


def pairwise(name: str, one: ArrayLike, other: ArrayLike) -> Array:
    """``(n,)``: of row ``i`` with row ``i``."""
    return _PAIRWISE[name](_rows(one), _rows(other))


def of_all(name: str, one: ArrayLike, other: ArrayLike) -> Array:
    """``(n, m)``: of every row with every row."""
    mine, theirs = _rows(one), _rows(other)
    if name == "cosine":
        mine, theirs = unit(mine), unit(theirs)
    if name in ("cosine", "dot"):
        return mine @ theirs.T
    return np.array([_PAIRWISE[name](row, theirs) for row in mine], np.float32).reshape(len(mine), len(theirs))


def _dot(one: Array, other: Array) -> Array:
    products: Array = (one * other).sum(axis=-1)
    return products


def _cosine(one: Array, other: Array) -> Array:
    return _dot(unit(one), unit(other))


def _euclidean(one: Array, other: Array) -> Array:
    distances: Array = np.linalg.norm(one - other, axis=-1)
    return -distances


def _manhattan(one: Array, other: Array) -> Array:
    distances: Array = np.abs(one - other).sum(axis=-1)
    return -distances


_PAIRWISE: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}


def unit(rows: Array) -> Array:
    """Rows of unit length; one of zeros stays."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Array = rows / np.maximum(lengths, 1e-12)
    return scaled


def _rows(vectors: ArrayLike) -> Array:
    return np.atleast_2d(np.asarray(vectors, np.float32))
