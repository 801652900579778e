"""Search by weighted sums of the three kinds of scores."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bge_fast import M3Vectors
from bge_fast.search.dense import BLOCK, QUERIES_AT_ONCE, tiles
from bge_fast.search.hits import Hits, Selection
from bge_fast.search.multi import late_scores, reordered
from bge_fast.search.sparse import InvertedLists

_SCORES = 1 << 24


def hybrid_top_k(
    queries: M3Vectors,
    passages: M3Vectors,
    k: int,
    *,
    weights: Sequence[float] = (1.0, 1.0, 1.0),
    pool: int = 100,
    exclude: Sequence[Iterable[int]] | None = None,
) -> Hits:
    """Find for each query the ``k`` passages with the best sums of dense, sparse and multi-vector scores.

    Sums are those of ``compute_score``: weighted, and divided by the sum of the weights. All passages are compared by
    dense and sparse vectors; multi-vectors, where both sides have them, are added for the ``pool`` best of these.

    Args:
        weights: of dense, sparse and multi-vector scores, in this order.
        exclude: for each query the places of passages that are no hits of it.
    """
    of_dense, of_sparse, of_colbert = weights
    if queries.dense is None or passages.dense is None or queries.sparse is None or passages.sparse is None:
        raise ValueError("hybrid search needs dense and sparse vectors of queries and passages")
    multi = of_colbert if queries.colbert is not None and passages.colbert is not None else 0.0
    if not (total := of_dense + of_sparse + multi) > 0:
        raise ValueError(f"weights {tuple(weights)} must have a sum above 0")
    hits = _dense_and_sparse(queries, passages, max(k, pool) if multi else k, (of_dense, of_sparse), exclude)
    if multi and queries.colbert is not None and passages.colbert is not None:
        late = late_scores(queries.colbert, passages.colbert, hits)
        hits = Hits(hits.scores + np.float32(multi) * late, hits.ids)
    return reordered(Hits(hits.scores / np.float32(total), hits.ids), k)


def _dense_and_sparse(queries: Any, passages: Any, k: int, weights: tuple[float, float], exclude: Any) -> Hits:
    """The best weighted sums, which are not divided."""
    lists, best = InvertedLists(passages.sparse), Selection(len(queries.dense), k, exclude)
    # So many queries have their lexical scores for all passages in memory.
    group = min(max(_SCORES // max(len(lists), 1), 1), QUERIES_AT_ONCE)
    for first in range(0, len(queries.dense), group):
        some = queries.sparse[first : first + group]
        lexical = np.stack([weights[1] * lists.scores(ids, of_ids) for ids, of_ids in some])
        for start, scores, _ in tiles(queries.dense[first : first + group], passages.dense, BLOCK):
            total = weights[0] * scores + lexical[:, start : start + scores.shape[1]]
            best.offer(total.astype(np.float32), start, first)
    return best.all_hits()
