"""`SparseBatch` and `ColbertBatch`: sequences of rows that share one allocation, and their scores."""

import copy
import pickle

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, ColbertBatch, M3Vectors, SparseBatch
from tests.support.checkpoints import checkpoint

TEXTS = [
    "a wing of the plane in flow",
    "",
    "Der Flügel der Strömung",
    "wing wing the wing of a wing",
    "机翼在超音速气流中",
]


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


@pytest.fixture(scope="module")
def vectors(m3) -> M3Vectors:
    return m3.encode_vectors(TEXTS, colbert=True)


@pytest.fixture(params=["sparse", "colbert"])
def batch(vectors, request) -> SparseBatch | ColbertBatch:
    return getattr(vectors, request.param)


def rows(batch):
    """Rows as nested lists, whatever the batch."""
    return [[part.tolist() for part in row] if isinstance(row, tuple) else row.tolist() for row in batch]


def arrays(batch):
    return [value for value in vars(batch).values() if isinstance(value, np.ndarray)]


# ── both ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_length_index_and_iteration(batch):
    assert len(batch) == len(list(batch)) == len(TEXTS)
    assert rows([batch[place] for place in range(len(TEXTS))]) == rows(batch)
    assert rows([batch[-1], batch[np.int64(-5)]]) == rows([batch[4], batch[0]])
    for place in (5, -6):
        with pytest.raises(IndexError, match=f"{place} is out of range for a batch of 5"):
            batch[place]


@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(-2, None), slice(3, 1), slice(9, 12), slice(5, 5)])
def test_slices(batch, part):
    cut = batch[part]
    assert type(cut) is type(batch)
    assert rows(cut) == rows(batch)[part]
    assert cut.offsets[0] == 0
    assert cut.offsets.dtype == batch.offsets.dtype
    with pytest.raises(ValueError, match="steps of 1, not 2"):
        batch[::2]


def test_equality(batch, m3):
    again = m3.encode_vectors(TEXTS, colbert=True)
    same = again.sparse if isinstance(batch, SparseBatch) else again.colbert
    assert batch == same
    assert batch[:] == batch
    assert batch != batch[1:]
    assert batch[1:1] == batch[2:2]
    assert batch != rows(batch)
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)


def test_copies_and_pickles_are_equal_and_read_only(batch):
    for twin in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch[1:3]))[:]):
        assert twin in (batch, batch[1:3])
        assert not any(array.flags.writeable for array in arrays(twin))
    assert len(pickle.dumps(batch[1:2])) < len(pickle.dumps(batch))


def test_arrays_are_read_only(batch):
    for one in (batch, batch[1:3], type(batch).concat([batch, batch])):
        for array in arrays(one):
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0
    row = batch[0]
    with pytest.raises(ValueError, match="read-only"):
        (row[0] if isinstance(row, tuple) else row)[:] = 0
    with pytest.raises(AttributeError):
        batch.offsets = None


def test_concat(batch):
    parts = [batch[:2], batch[2:2], batch[2:]]
    assert type(batch).concat(parts) == batch
    assert rows(type(batch).concat([batch, batch])) == rows(batch) * 2
    with pytest.raises(ValueError, match="at least one batch"):
        type(batch).concat([])


def test_rows_are_views_of_one_allocation(batch):
    whole = arrays(batch)[-1]
    row = batch[0][1] if isinstance(batch, SparseBatch) else batch[0]
    assert np.shares_memory(row, whole)
    assert np.shares_memory(arrays(batch[1:3])[-1], whole)


def test_what_a_batch_says_of_itself(vectors):
    weights, tokens = len(vectors.sparse.ids), len(vectors.colbert.vectors)
    assert repr(vectors.sparse) == f"SparseBatch(5 texts, {weights} weights, dim 2085)"
    assert repr(vectors.colbert) == f"ColbertBatch(5 texts, {tokens} vectors of 32)"
    assert vectors == vectors  # noqa: PLR0124
    assert vectors != M3Vectors(vectors.dense, vectors.sparse, vectors.colbert)


def test_no_texts(m3):
    none, some = m3.encode_vectors([], colbert=True), m3.encode_vectors(TEXTS, colbert=True)
    assert (len(none.sparse), len(none.colbert), none.dense.shape) == (0, 0, (0, 32))
    assert none.sparse.to_dicts() == none.colbert.to_list() == []
    assert none.sparse.dot(some.sparse).shape == none.colbert.maxsim(some.colbert).shape == (0, 5)
    assert some.sparse.dot(none.sparse).shape == some.colbert.maxsim(none.colbert).shape == (5, 0)
    assert SparseBatch.concat([none.sparse, some.sparse]) == some.sparse
    assert ColbertBatch.concat([none.colbert, some.colbert]) == some.colbert


# ── sparse ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sparse_arrays(vectors):
    sparse = vectors.sparse
    assert (sparse.offsets.dtype, sparse.ids.dtype, sparse.weights.dtype) == (np.int32, np.int32, np.float32)
    assert (sparse.weights > 0).all()
    assert all(len(set(ids.tolist())) == len(ids) for ids, _ in sparse)
    assert sparse.ids.max() < sparse.dim == 2085


def test_dicts_are_flagembeddings(vectors, m3):
    wanted = m3.encode(TEXTS, return_sparse=True)["lexical_weights"]
    assert vectors.sparse.to_dicts() == wanted
    assert [list(table) for table in vectors.sparse.to_dicts()] == [list(table) for table in wanted]


def test_dot_is_the_lexical_score(vectors, m3):
    dicts = vectors.sparse.to_dicts()
    scores = vectors.sparse.dot(vectors.sparse[1:])
    assert scores.dtype == np.float64
    assert np.allclose(scores, m3.compute_lexical_matching_score(dicts, dicts[1:]), atol=1e-12)


def test_csr(vectors):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    sparse = vectors.sparse
    shared, sorted_copy = sparse.to_csr(sort=False), sparse.to_csr()
    assert isinstance(shared, scipy_sparse.csr_array)
    assert shared.shape == (5, 2085)
    assert (shared.dtype, shared.indices.dtype) == (np.float32, np.int32)
    assert np.shares_memory(shared.data, sparse.weights)
    assert np.shares_memory(shared.indices, sparse.ids)
    assert not np.shares_memory(sorted_copy.data, sparse.weights)
    assert sorted_copy.has_sorted_indices
    assert np.array_equal(shared.toarray(), sorted_copy.toarray())
    assert np.allclose((sorted_copy @ sorted_copy.T).toarray(), sparse.dot(sparse), atol=1e-6)
    for (ids, weights), row in zip(sparse, sorted_copy.toarray(), strict=True):
        assert np.array_equal(row[ids], weights)
        assert np.count_nonzero(row) == len(ids)


def test_csr_without_scipy_says_what_is_missing(vectors, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        vectors.sparse.to_csr()


# ── colbert ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lists_are_flagembeddings_and_own_their_memory(vectors, m3):
    wanted = m3.encode(TEXTS, return_colbert_vecs=True)["colbert_vecs"]
    listed = vectors.colbert.to_list()
    for mine, theirs in zip(listed, wanted, strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)
        assert mine.flags.owndata
        mine[:] = 0
    assert np.linalg.norm(vectors.colbert.vectors, axis=1).min() > 0.99


def test_maxsim_is_the_colbert_score(vectors, m3):
    scores = vectors.colbert.maxsim(vectors.colbert[1:])
    assert (scores.shape, scores.dtype) == ((5, 4), np.float64)
    listed = vectors.colbert.to_list()
    for row, query in enumerate(listed):
        for column, passage in enumerate(listed[1:]):
            assert scores[row, column] == pytest.approx(float(m3.colbert_score(query, passage)), abs=1e-6)


def test_what_is_no_batch_is_told(batch):
    with pytest.raises(TypeError, match="takes an int or a slice, not list"):
        batch[[0, 1]]
    scores = batch.dot if isinstance(batch, SparseBatch) else batch.maxsim
    with pytest.raises(TypeError, match=f"expected a {type(batch).__name__}, got list"):
        scores([{}])
    assert type(batch).concat(one for one in (batch, batch)) == type(batch).concat([batch, batch])


def test_multi_vectors_of_no_token_have_no_score(m3):
    with pytest.raises(ValueError, match=r"the query has no \(tokens, dim\) matrix .* \(0, 32\)"):
        m3.colbert_score(np.zeros((0, 32)), np.ones((1, 32)))
    with pytest.raises(ValueError, match=r"the passage has no .* \(32,\)"):
        m3.colbert_score(np.ones((1, 32)), np.ones(32))


def test_long_queries_are_compared_in_parts():
    random = np.random.default_rng(3)
    query, passage = (random.standard_normal((count, 8), np.float32) for count in (2500, 900))
    one, other = (ColbertBatch.of(np.array([0, len(rows)]), rows, 8) for rows in (query, passage))
    wanted = (query.astype(np.float64) @ passage.T.astype(np.float64)).max(axis=1).mean()
    assert one.maxsim(other)[0, 0] == pytest.approx(wanted, abs=1e-5)
