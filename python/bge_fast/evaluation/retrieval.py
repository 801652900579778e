"""Rankings of a dataset's documents for its queries, by a model's vectors or a reranker."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bge_fast import BGEM3FlagModel, ColbertBatch
from bge_fast.errors import quoted
from bge_fast.evaluation.dataset import Dataset
from bge_fast.search import Hits, hybrid_top_k, sparse_top_k, top_k
from bge_fast.search.encoders import dense_passages, dense_queries, made_by
from bge_fast.search.multi import reordered
from bge_fast.search.stored import stored_vectors

MODES = ("dense", "sparse", "colbert", "sparse+dense", "colbert+sparse+dense")
Results = dict[str, dict[str, float]]
# Documents whose multi-vectors are in memory at once, and queries whose pairs a reranker gets at once.
_DOCUMENTS, _QUERIES = 256, 64


def retrieve(
    model: Any,
    dataset: Dataset,
    *,
    mode: str = "dense",
    k: int = 1000,
    pool: int = 100,
    vectors: Any = None,
    weights: Sequence[float] = (1.0, 1.0, 1.0),
) -> Results:
    """Rank ``k`` documents for each query: ids with scores, best first.

    Args:
        mode: one of BGE-M3's five scores; other models have ``dense`` alone.
        pool: with multi-vectors, documents of each query that they are compared for: the best without them.
        vectors: a file that dense vectors of the documents are kept in, for ``dense`` and ``colbert``.
        weights: of dense, sparse and multi-vector scores in sums.
    """
    if mode not in MODES:
        raise ValueError(f"mode={quoted(mode)} is none of {', '.join(MODES)}")
    if mode != "dense" and not isinstance(model, BGEM3FlagModel):
        raise ValueError(f"mode={mode!r} needs a BGE-M3; {type(model).__name__} has dense vectors alone")
    queries = list(dataset.queries.values())
    if "colbert" not in mode:
        return _named(dataset, _without_multi_vectors(model, dataset, queries, mode, k, vectors, weights))
    hits = _without_multi_vectors(model, dataset, queries, mode, min(k, pool), vectors, weights)
    scores = _late_scores(model, dataset, queries, hits)
    if mode != "colbert":
        scores = (sum(weights[:2]) * hits.scores + weights[2] * scores) / sum(weights)
    known = np.where(hits.ids >= 0, scores, -np.inf).astype(np.float32)
    return _named(dataset, reordered(Hits(known, hits.ids)))


def _without_multi_vectors(
    model: Any, dataset: Dataset, queries: list[str], mode: str, k: int, vectors: Any, weights: Sequence[float]
) -> Hits:
    if mode in ("dense", "colbert"):
        return top_k(dense_queries(model, queries), _dense_documents(model, dataset, vectors), k)
    kinds = {"dense": "dense" in mode, "sparse": True, "colbert": False}
    texts = list(dataset.corpus.values())
    asked, documents = model.encode_vectors(queries, query=True, **kinds), model.encode_vectors(texts, **kinds)
    if mode == "sparse":
        return sparse_top_k(asked.sparse, documents.sparse, k)
    return hybrid_top_k(asked, documents, k, weights=weights)


def _dense_documents(model: Any, dataset: Dataset, vectors: Any) -> Any:
    texts = list(dataset.corpus.values())
    if vectors is None:
        return dense_passages(model, texts)
    return stored_vectors(
        vectors, texts, lambda some: dense_passages(model, some, show_progress_bar=False), made_by(model)
    )


def _late_scores(model: BGEM3FlagModel, dataset: Dataset, queries: list[str], hits: Hits) -> Any:
    """Multi-vector scores of hits; each document is encoded once, and few are in memory."""
    asked = model.encode_vectors(queries, dense=False, sparse=False, colbert=True, query=True).colbert
    texts, scores = list(dataset.corpus.values()), np.full(hits.scores.shape, -np.inf)
    wanted = np.unique(hits.ids[hits.ids >= 0])
    for start in range(0, len(wanted), _DOCUMENTS):
        some = wanted[start : start + _DOCUMENTS]
        found = model.encode_vectors(
            [texts[place] for place in some], dense=False, sparse=False, colbert=True, show_progress_bar=False
        ).colbert
        for query, column in zip(*np.nonzero(np.isin(hits.ids, some)), strict=True):
            place = int(np.searchsorted(some, hits.ids[query, column]))
            scores[query, column] = _late(asked, int(query), found, place)
    return scores


def _late(queries: ColbertBatch | None, query: int, documents: ColbertBatch | None, place: int) -> float:
    if queries is None or documents is None or not len(queries[query]) or not len(documents[place]):
        return 0.0
    return float(queries[query : query + 1].maxsim(documents[place : place + 1])[0, 0])


def _named(dataset: Dataset, hits: Hits) -> Results:
    documents = list(dataset.corpus)
    return {
        query: {documents[place]: score for place, score in zip(ids, scores, strict=True) if place >= 0}
        for query, ids, scores in zip(dataset.queries, hits.ids.tolist(), hits.scores.tolist(), strict=True)
    }


def rerank(reranker: Any, dataset: Dataset, results: Mapping[str, Mapping[str, float]], k: int = 100) -> Results:
    """A reranker's scores for the ``k`` best documents of each query, in the order that they had."""
    reranked: Results = {query: {} for query in results}
    queries = list(results)
    for start in range(0, len(queries), _QUERIES):
        pairs = [pair for query in queries[start : start + _QUERIES] for pair in _best(query, results[query], k)]
        texts = [(dataset.queries[query], dataset.corpus[document]) for query, document in pairs]
        for (query, document), score in zip(pairs, reranker.compute_score(texts) if texts else (), strict=True):
            reranked[query][document] = float(score)
    return reranked


def _best(query: str, scores: Mapping[str, float], k: int) -> Iterator[tuple[str, str]]:
    return ((query, document) for document in sorted(scores, key=lambda one: -scores[one])[:k])
