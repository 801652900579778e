"""What a search gives, and how the best are kept while scores come block by block."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_fast import _core
from bge_fast.errors import quoted

_PLACES = 1 << 32


class Hits(NamedTuple):
    """The best passages of each query, best first; of equal scores the one at the lower place."""

    scores: NDArray[np.float32]
    """``(queries, k)``; negative infinity where there are no more passages."""
    ids: NDArray[np.int64]
    """``(queries, k)``, places counted from 0; -1 where there are no more passages."""


class Selection:
    """Keeps the ``k`` best of all scores that it is offered.

    Args:
        queries: how many there are.
        exclude: for each query the places that are no hits of it.
    """

    def __init__(self, queries: int, k: int, exclude: Sequence[Iterable[int]] | None = None) -> None:
        if isinstance(k, bool) or not hasattr(k, "__index__") or int(k) < 1:
            raise ValueError(f"k={quoted(k)} is not a whole number of at least 1")
        self.k = int(k)
        self._best = _core.Best(self.k, _excluded(queries, exclude))

    def offer(self, scores: NDArray[np.float32], first_place: int, first_query: int = 0) -> None:
        """Take a block of scores ``(queries, places)``.

        Places come in their order. Negative infinity is no hit.

        Raises:
            NumericsError: a score that is not finite; names query and place.
        """
        self._best.offer(np.ascontiguousarray(scores, np.float32), first_query, first_place)

    def hits(self) -> Hits:
        """The best so far, as many as ``k`` at most and as the most of a query."""
        return Hits(*self._best.result())

    def all_hits(self) -> Hits:
        """The best, ``k`` for each query, filled up where there are fewer."""
        found = self.hits()
        scores = np.full((len(found.ids), self.k), -np.inf, np.float32)
        ids = np.full(scores.shape, -1, np.int64)
        width = found.ids.shape[1]
        scores[:, :width], ids[:, :width] = found
        return Hits(scores, ids)


def _excluded(queries: int, exclude: Sequence[Iterable[int]] | None) -> list[list[int]]:
    if exclude is None:
        return [[]] * queries
    if len(exclude) != queries:
        raise ValueError(f"exclude has {len(exclude)} entries for {queries} queries; give one to each, empty for none")
    listed = [[int(place) for place in places] for places in exclude]
    for query, places in enumerate(listed):
        if places and not 0 <= min(places) <= max(places) < _PLACES:
            raise ValueError(f"exclude[{query}] has {min(places)} … {max(places)}; places count from 0")
    return listed
