"""Batches in the shapes of stores, as far as no store's package is needed; smaller batches."""

import sys

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, ColbertBatch, M3Vectors, SparseBatch
from tests.support.checkpoints import checkpoint

TEXTS = ["a wing of the plane in flow", "", "Der Flügel der Strömung", "wing wing the wing of a wing"]


@pytest.fixture(scope="module")
def vectors() -> M3Vectors:
    return BGEM3FlagModel(str(checkpoint("tiny-m3"))).encode_vectors(TEXTS, colbert=True)


def sparse(*rows: dict[int, float], dim: int = 10) -> SparseBatch:
    offsets = np.cumsum([0, *map(len, rows)])
    ids = np.array([id for row in rows for id in row], np.uint32)
    return SparseBatch.of(offsets, ids, np.array([one for row in rows for one in row.values()], np.float32), dim)


def dicts(batch: SparseBatch) -> list[dict[int, float]]:
    return [dict(zip(ids.tolist(), weights.tolist(), strict=True)) for ids, weights in batch]


@pytest.mark.parametrize("name", ["to_elastic", "to_opensearch", "to_vespa"])
def test_weights_by_id_are_plain_dicts(vectors: M3Vectors, name: str) -> None:
    rows = getattr(vectors.sparse, name)()
    assert rows == vectors.sparse.to_dicts()
    assert {type(row) for row in rows} == {dict}
    assert {type(weight) for row in rows for weight in row.values()} == {float}


def test_multi_vectors_for_vespa_are_counted(vectors: M3Vectors) -> None:
    rows = vectors.colbert.to_vespa()
    for row, matrix in zip(rows, vectors.colbert, strict=True):
        assert list(row) == [str(place) for place in range(len(matrix))]
        np.testing.assert_array_equal(list(row.values()), matrix)


def test_multi_vectors_for_qdrant_are_lists(vectors: M3Vectors) -> None:
    rows = vectors.colbert.to_qdrant()
    assert [np.shape(row) for row in rows] == [row.shape for row in vectors.colbert]
    np.testing.assert_array_equal(rows[0], vectors.colbert[0])


def test_a_multi_vector_that_qdrant_would_refuse_is_told_before_the_upload() -> None:
    fits, over = np.ones((1024, 1024), np.float32), np.ones((1025, 1024), np.float32)
    batch = ColbertBatch.of(np.array([0, 1024, 2049]), np.concatenate([fits, over]), 1024)
    with pytest.raises(ValueError, match=r"text 1 has 1,025 vectors of 1,024 .*more than 1,048,576.*pool\(1024\)"):
        batch.to_qdrant()
    assert [len(row) for row in batch.pool(1024)] == [1024, 1024]
    assert len(batch[:1].to_qdrant()[0]) == 1024


# ── smaller batches ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_largest_weights_are_kept_in_their_order() -> None:
    batch = sparse({7: 0.5, 1: 2.0, 4: 1.0}, {}, {3: 0.25})
    assert dicts(batch.prune(2)) == [{1: 2.0, 4: 1.0}, {}, {3: 0.25}]
    assert dicts(batch.prune(min_weight=0.5)) == [{7: 0.5, 1: 2.0, 4: 1.0}, {}, {}]
    assert dicts(batch.prune(1, min_weight=3)) == [{}, {}, {}]
    assert batch.prune(3) == batch
    assert batch.prune(2).dim == 10


def test_of_equal_weights_smaller_ids_are_kept() -> None:
    assert dicts(sparse({9: 1.0, 2: 1.0, 5: 1.0}, {8: 1.0, 0: 1.0}).prune(1)) == [{2: 1.0}, {0: 1.0}]


def test_pruning_agrees_with_sorting_each_row() -> None:
    random = np.random.default_rng(5)
    rows = [
        {int(id): float(random.integers(1, 9)) for id in random.permutation(50)[: random.integers(0, 30)]}
        for _ in range(40)
    ]
    for row, pruned in zip(rows, dicts(sparse(*rows, dim=50).prune(7)), strict=True):
        assert set(pruned) == set(sorted(row, key=lambda id: (-row[id], id))[:7])


def test_what_prune_does_not_take() -> None:
    batch = sparse({1: 1.0})
    with pytest.raises(ValueError, match="top_k= or min_weight="):
        batch.prune()
    with pytest.raises(ValueError, match="top_k"):
        batch.prune(0)


def test_neighbours_are_averaged_to_unit_length() -> None:
    rows = np.array([[1, 0], [0, 1], [-1, 0], [0, 1], [0, 2]], np.float32)
    batch = ColbertBatch.of(np.array([0, 4, 5]), rows, 2)
    pooled = batch.pool(2)
    half = np.sqrt(0.5, dtype=np.float32)
    np.testing.assert_allclose(pooled[0], [[half, half], [-half, half]], rtol=1e-6)
    np.testing.assert_array_equal(pooled[1], rows[4:])
    assert batch.pool(4) == batch
    assert len(ColbertBatch.of(np.array([0]), np.empty(0, np.float32), 2).pool(3)) == 0
    with pytest.raises(ValueError, match="max_rows"):
        batch.pool(0)


def test_pooled_texts_still_find_themselves(vectors: M3Vectors) -> None:
    scores = vectors.colbert.maxsim(vectors.colbert.pool(5))
    assert scores[:, 0].argmax() == 0
    assert scores[:, 3].argmax() == 3


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("to_milvus", "scipy.sparse", "scipy"),
        ("to_qdrant", "qdrant_client.models", "qdrant-client"),
        ("to_pgvector", "pgvector", "pgvector"),
        ("to_chroma", "chromadb.base_types", "chromadb"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        getattr(sparse({1: 1.0}), name)()
