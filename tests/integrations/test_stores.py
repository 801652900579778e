"""What stores' own packages make of M3's batches: searched in memory, or written and read back."""

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, M3Vectors, SparseBatch
from tests.support.checkpoints import checkpoint

TEXTS = ["a wing of the plane in flow", "", "Der Flügel der Strömung", "wing wing the wing of a wing"]


@pytest.fixture(scope="module")
def vectors() -> M3Vectors:
    return BGEM3FlagModel(str(checkpoint("tiny-m3"))).encode_vectors(TEXTS, colbert=True)


# ── Qdrant ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def qdrant(vectors: M3Vectors):
    qdrant_client = pytest.importorskip("qdrant_client")
    models = qdrant_client.models
    client = qdrant_client.QdrantClient(":memory:")
    many = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection(
        "texts",
        vectors_config={
            "dense": models.VectorParams(size=32, distance=models.Distance.DOT),
            "colbert": models.VectorParams(size=32, distance=models.Distance.DOT, multivector_config=many),
        },
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
    )
    rows = zip(vectors.dense.tolist(), vectors.sparse.to_qdrant(), vectors.colbert.to_qdrant(), strict=True)
    points = [
        models.PointStruct(id=place, vector={"dense": dense, "sparse": sparse, "colbert": colbert})
        for place, (dense, sparse, colbert) in enumerate(rows)
    ]
    client.upsert("texts", points)
    yield client
    client.close()


def scores(response) -> dict[int, float]:
    return {point.id: point.score for point in response.points}


@pytest.mark.parametrize("text", [0, 3])
def test_qdrant_scores_as_the_batches_do(qdrant, vectors: M3Vectors, text: int) -> None:
    dense = scores(qdrant.query_points("texts", vectors.dense[text].tolist(), using="dense"))
    sparse = scores(qdrant.query_points("texts", vectors.sparse.to_qdrant()[text], using="sparse"))
    many = scores(qdrant.query_points("texts", vectors.colbert.to_qdrant()[text], using="colbert"))
    wanted = vectors.sparse.dot(vectors.sparse)[text]
    assert sparse == pytest.approx({place: wanted[place] for place in sparse}, rel=1e-5)
    assert set(sparse) >= set(np.flatnonzero(wanted).tolist())
    assert dense == pytest.approx(dict(enumerate(vectors.dense @ vectors.dense[text])), abs=1e-5)
    # Qdrant sums over the query's vectors, of which ours is the mean.
    mean = vectors.colbert.maxsim(vectors.colbert)[text] * len(vectors.colbert[text])
    assert many == pytest.approx(dict(enumerate(mean)), rel=1e-5)


def test_qdrant_fuses_the_three(qdrant, vectors: M3Vectors) -> None:
    from qdrant_client import models

    parts = [
        models.Prefetch(query=vectors.dense[3].tolist(), using="dense"),
        models.Prefetch(query=vectors.sparse.to_qdrant()[3], using="sparse"),
        models.Prefetch(query=vectors.colbert.to_qdrant()[3], using="colbert"),
    ]
    found = qdrant.query_points("texts", prefetch=parts, query=models.FusionQuery(fusion=models.Fusion.RRF))
    assert found.points[0].id == 3


# ── Milvus, pgvector, Chroma ──────────────────────────────────────────────────────────────────────────────────────────


def test_milvus_writes_rows_that_read_back_as_they_were(vectors: M3Vectors) -> None:
    helper = pytest.importorskip("pymilvus.client.entity_helper")
    proto = helper.sparse_rows_to_proto(vectors.sparse.to_milvus())
    # An empty row comes back as a bare dict, too.
    rows = helper.sparse_proto_to_rows(proto, 0, len(TEXTS))
    for row, (ids, weights) in zip(rows, vectors.sparse, strict=True):
        assert row == dict(zip(ids.tolist(), weights.tolist(), strict=True))


def test_milvus_takes_the_strings_of_flagembedding_too(vectors: M3Vectors) -> None:
    helper = pytest.importorskip("pymilvus.client.entity_helper")
    ours = helper.sparse_rows_to_proto(vectors.sparse.to_dicts())
    matrix = helper.sparse_rows_to_proto(vectors.sparse.to_milvus())
    assert [sorted(row) for row in ours.contents] == [sorted(row) for row in matrix.contents]


def test_pgvector_counts_from_one_in_text(vectors: M3Vectors) -> None:
    pgvector = pytest.importorskip("pgvector")
    rows = vectors.sparse.to_pgvector()
    for row, (ids, weights) in zip(rows, vectors.sparse, strict=True):
        assert row.dimensions() == vectors.sparse.dim
        assert dict(zip(row.indices(), row.values(), strict=True)) == dict(
            zip(ids.tolist(), weights.tolist(), strict=True)
        )
        written = pgvector.SparseVector.from_text(row.to_text())
        assert written.indices() == sorted(ids.tolist())
    batch = SparseBatch.of(np.array([0, 2]), np.array([0, 2], np.uint32), np.array([1, 0.5], np.float32), 250002)
    assert batch.to_pgvector()[0].to_text() == "{1:1.0,3:0.5}/250002"


def test_pgvector_is_given_no_id_outside(vectors: M3Vectors) -> None:
    pytest.importorskip("pgvector")
    ids = np.array([1, 2, 10], np.uint32)
    batch = SparseBatch.of(np.array([0, 1, 1, 3]), ids, np.ones(3, np.float32), 10)
    with pytest.raises(ValueError, match="text 2 has the id 10, but ids go from 0 to 9"):
        batch.to_pgvector()


def test_chroma_gets_ids_in_order(vectors: M3Vectors) -> None:
    pytest.importorskip("chromadb")
    for row, (ids, weights) in zip(vectors.sparse.to_chroma(), vectors.sparse, strict=True):
        assert row.indices == sorted(ids.tolist())
        assert dict(zip(row.indices, row.values, strict=True)) == dict(zip(ids.tolist(), weights.tolist(), strict=True))
