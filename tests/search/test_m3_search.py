"""Search by lexical weights, multi-vectors and sums against all scores of M3's batches."""

import numpy as np
import pytest

from bge_fast import ColbertBatch, M3Vectors, SparseBatch
from bge_fast.search import Hits, InvertedLists, hybrid, hybrid_top_k, rescore, sparse_top_k, top_k


def batches(texts: int, seed: int, dim: int = 40, width: int = 8) -> M3Vectors:
    """Random vectors of texts, some without any token."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 7, texts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    ids = np.concatenate([random.permutation(dim)[:count] for count in counts]).astype(np.uint32)
    weights = random.integers(1, 4, len(ids)).astype(np.float32) / 4
    vectors = random.integers(-2, 3, (len(ids), width)).astype(np.float32)
    dense = random.integers(-2, 3, (texts, width)).astype(np.float32) / 4
    return M3Vectors(
        dense, SparseBatch.of(offsets, ids, weights, dim), ColbertBatch.of(offsets, vectors.ravel(), width)
    )


QUERIES, PASSAGES = batches(30, 1), batches(300, 2)


def best_of(scores: np.ndarray, k: int) -> list[list[int]]:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()


def late(query: int, passage: int) -> float:
    one, other = QUERIES.colbert[query : query + 1], PASSAGES.colbert[passage : passage + 1]
    return float(one.maxsim(other)[0, 0]) if len(one.vectors) and len(other.vectors) else 0.0


def test_sparse_search_is_that_of_all_scores() -> None:
    scores = QUERIES.sparse.dot(PASSAGES.sparse)
    for passages in (PASSAGES.sparse, InvertedLists(PASSAGES.sparse)):
        hits = sparse_top_k(QUERIES.sparse, passages, 20)
        for row, expected, found in zip(scores, best_of(scores, 20), hits.ids.tolist(), strict=True):
            assert found == [place if row[place] > 0 else -1 for place in expected]
    assert (hits.ids == -1).any()


def test_tokens_beyond_those_of_passages_are_no_error() -> None:
    passages = SparseBatch.of(np.array([0, 1]), np.array([2], np.uint32), np.ones(1, np.float32), 3)
    hits = sparse_top_k(QUERIES.sparse, passages, 1, exclude=[[]] * len(QUERIES.sparse))
    assert set(hits.ids.ravel().tolist()) == {0, -1}


def test_rescoring_sorts_by_multi_vectors() -> None:
    hits = top_k(QUERIES.dense, PASSAGES.dense, 12)
    found = rescore(QUERIES.colbert, PASSAGES.colbert, hits, 5)
    for query, (ids, scores) in enumerate(zip(found.ids.tolist(), found.scores, strict=True)):
        expected = sorted(hits.ids[query].tolist(), key=lambda place: (-np.float32(late(query, place)), place))[:5]
        assert ids == expected
        assert scores.tolist() == [np.float32(late(query, place)) for place in expected]


def test_rescoring_keeps_what_is_no_hit_at_the_end() -> None:
    hits = Hits(np.full((30, 3), -np.inf, np.float32), np.full((30, 3), -1))
    assert (rescore(QUERIES.colbert, PASSAGES.colbert, hits).ids == -1).all()


@pytest.mark.parametrize("at_once", [1, 700, 1 << 24])
@pytest.mark.parametrize("weights", [(1, 1, 0), (0.5, 0.25, 0.25), (0, 1, 1)])
def test_hybrid_sums(weights: tuple[float, float, float], at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid, "_SCORES", at_once)
    lates = np.array([[late(query, passage) for passage in range(300)] for query in range(30)])
    parts = QUERIES.dense @ PASSAGES.dense.T, QUERIES.sparse.dot(PASSAGES.sparse), lates
    total = sum(weight * part for weight, part in zip(weights, parts, strict=True)) / sum(weights)
    hits = hybrid_top_k(QUERIES, PASSAGES, 10, weights=weights, pool=300)
    np.testing.assert_allclose(hits.scores, -np.sort(-total, axis=1)[:, :10], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(total, hits.ids, axis=1), hits.scores, atol=1e-6)


def test_without_multi_vectors_dense_and_sparse_are_added() -> None:
    passages = M3Vectors(PASSAGES.dense, PASSAGES.sparse, None)
    expected = hybrid_top_k(QUERIES, PASSAGES, 7, weights=(1, 1, 0))
    for one, other in zip(hybrid_top_k(QUERIES, passages, 7), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_lacking_is_said() -> None:
    with pytest.raises(ValueError, match="needs dense and sparse"):
        hybrid_top_k(M3Vectors(QUERIES.dense, None, None), PASSAGES, 3)
    with pytest.raises(ValueError, match="sum above 0"):
        hybrid_top_k(QUERIES, PASSAGES, 3, weights=(0, 0, 0))
