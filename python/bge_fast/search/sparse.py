"""Search by lexical weights."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bge_fast import SparseBatch
from bge_fast.search.hits import Hits, Selection


class InvertedLists:
    """The passages of each token with its weight in them: what a query's few tokens need to be looked up in."""

    def __init__(self, passages: SparseBatch) -> None:
        order = np.argsort(passages.ids, kind="stable")
        self._passages = len(passages)
        self._rows = np.repeat(np.arange(len(passages)), np.diff(passages.offsets))[order]
        self._weights = passages.weights[order]
        self._bounds = np.searchsorted(passages.ids[order], np.arange(passages.dim + 1))

    def __len__(self) -> int:
        return self._passages

    def scores(self, ids: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Lexical scores of all passages for the tokens of one query."""
        scores = np.zeros(len(self))
        for token, weight in zip(ids.tolist(), weights.tolist(), strict=True):
            if token + 1 < len(self._bounds):
                span = slice(self._bounds[token], self._bounds[token + 1])
                # A passage stands in the list of a token once.
                scores[self._rows[span]] += weight * self._weights[span].astype(np.float64)
        return scores


def sparse_top_k(
    queries: SparseBatch,
    passages: SparseBatch | InvertedLists,
    k: int,
    *,
    exclude: Sequence[Iterable[int]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Hits:
    """Find for each query the ``k`` passages with the largest lexical scores; one that shares no token is no hit.

    Args:
        passages: lists that are made once, or the batch that they are made of.
        exclude: for each query the places of passages that are no hits of it.
        progress: called after each query with the number of queries that are done.
    """
    lists = passages if isinstance(passages, InvertedLists) else InvertedLists(passages)
    best = Selection(len(queries), k, exclude)
    for place, (ids, weights) in enumerate(queries):
        scores = lists.scores(ids, weights)
        best.offer(np.where(scores > 0, scores, -np.inf)[None].astype(np.float32), 0, place)
        if progress:
            progress(place + 1)
    return best.all_hits()
