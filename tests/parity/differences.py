"""How far results are from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

# Weights below may be on either side of 0 by rounding alone.
SURE_WEIGHT = 1e-4
Floats = npt.NDArray[np.float64]


def of_vectors(ours: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """Per row: the largest difference of a component, as a share of the row's norm where that is above one."""
    mine, theirs = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if mine.shape != theirs.shape:
        return np.full(max(len(mine), 1), np.inf)
    norms = np.maximum(np.linalg.norm(theirs, axis=-1), 1.0)
    return np.asarray(_no_nan(np.abs(mine - theirs).max(axis=-1)) / norms)


def of_weights(ours: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """The largest difference of a weight; infinite where only one has a token that surely has a weight."""
    both = ours.keys() | reference.keys()
    missing = (ours.keys() ^ reference.keys()) & {
        token for token in both if max(ours.get(token, 0), reference.get(token, 0)) > SURE_WEIGHT
    }
    if missing:
        return float("inf")
    return max((abs(float(ours.get(token, 0)) - float(reference.get(token, 0))) for token in both), default=0.0)


def of_scores(ours: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """Per score: the difference, as a share of the score where that is above one. Equal values that are not finite agree."""
    mine, theirs = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if mine.shape != theirs.shape:
        return np.full(1, np.inf)
    same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        difference = _no_nan(np.abs(mine - theirs)) / np.maximum(np.abs(theirs), 1.0)
    return np.where(same, 0.0, difference)


def largest(differences: Any) -> float:
    """The largest of them, 0 for none."""
    return float(np.max(differences, initial=0.0))


def _no_nan(differences: Floats) -> Floats:
    return np.where(np.isnan(differences), np.inf, differences)
