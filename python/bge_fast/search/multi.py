"""Hits in the order of their multi-vectors' scores."""

import numpy as np
from numpy.typing import NDArray

from bge_fast import ColbertBatch
from bge_fast.search.hits import Hits


def rescore(queries: ColbertBatch, passages: ColbertBatch, hits: Hits, k: int | None = None) -> Hits:
    """Score each query's hits by late interaction, and give the ``k`` best of them, by default all, in that order.

    Args:
        passages: of all passages; only those of hits are looked at.
    """
    return reordered(Hits(late_scores(queries, passages, hits), hits.ids), k)


def late_scores(queries: ColbertBatch, passages: ColbertBatch, hits: Hits) -> NDArray[np.float32]:
    """Multi-vector scores of hits, each at its hit's place; negative infinity where there is none."""
    scores = np.full(hits.scores.shape, -np.inf, np.float32)
    for query, column in zip(*np.nonzero(hits.ids >= 0), strict=True):
        one, place = queries[int(query) : int(query) + 1], int(hits.ids[query, column])
        other = passages[place : place + 1]
        # A text of no token but the first has no vectors, and nothing in common with any other.
        scores[query, column] = one.maxsim(other)[0, 0] if len(one.vectors) and len(other.vectors) else 0
    return scores


def reordered(hits: Hits, k: int | None = None) -> Hits:
    """Sort hits by their scores, equal ones by their places, and keep the ``k`` best."""
    order = np.lexsort((hits.ids, -hits.scores), axis=1)[:, :k]
    return Hits(np.take_along_axis(hits.scores, order, axis=1), np.take_along_axis(hits.ids, order, axis=1))
