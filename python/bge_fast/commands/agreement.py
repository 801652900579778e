"""How far vectors and scores of one computation are from those of another, for the same texts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bge_fast.models.shapes import Matrix

TOP = 10
# Rows whose scores with all texts are held at a time.
_BLOCK = 1024


@dataclass(frozen=True)
class Agreement:
    """What two computations of the same texts have in common."""

    overlap: float
    """Of the `TOP` best texts for each query the share that is the same, in the mean."""
    score_change: float
    """The largest change of a score."""


@dataclass(frozen=True)
class Closeness:
    """Cosines between a text's two vectors."""

    mean: float
    least: float
    least_at: int
    """The row of the least."""


def closeness(exact: Matrix, other: Matrix) -> Closeness:
    """Compare two matrices of unit vectors, ``[texts, dimension]``, row by row."""
    cosines = np.einsum("ij,ij->i", exact, other, dtype=np.float64)
    return Closeness(float(cosines.mean()), float(cosines.min()), int(cosines.argmin()))


def of_vectors(exact: Matrix, other: Matrix) -> Agreement:
    """Each text as a query against all others, by inner products; ``[texts, dimension]``, more than `TOP` of them."""
    shared, change = 0.0, 0.0
    for start in range(0, len(exact), _BLOCK):
        scores = [vectors[start : start + _BLOCK] @ vectors.T for vectors in (exact, other)]
        change = max(change, float(np.abs(scores[0] - scores[1]).max()))
        for one in scores:
            rows = np.arange(len(one))
            one[rows, start + rows] = -np.inf
        shared += _shared(*scores).sum()
    return Agreement(shared / len(exact), change)


def of_scores(exact: NDArray[np.float64], other: NDArray[np.float64]) -> Agreement:
    """Scores of the same passages for some queries, ``[queries, passages]``, at least `TOP` passages."""
    return Agreement(float(_shared(exact, other).mean()), float(np.abs(exact - other).max()))


def _shared(exact: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """For each row the share of the `TOP` best places that both have."""
    best, others = (np.argpartition(-scores, TOP - 1)[:, :TOP] for scores in (exact, other))
    return np.asarray((best[:, :, None] == others[:, None, :]).sum((1, 2)) / TOP)
