"""Texts that come again in one call: encoded once, and everything about them as if each were encoded."""

import warnings

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker, NumericsError
from tests.support.checkpoints import SOURCES, checkpoint
from tests.support.malformed import WORDS, Tensors, change_tensors

DISTINCT = ["", "wing", "boundary layer flow", "机翼 " * 30, "heat " * 40]
# More than two windows, with repeats within each and between them.
TEXTS = [DISTINCT[place % 5] if place % 3 else f"text {place % 5000}" for place in range(15_000)]


@pytest.fixture(scope="module")
def bert() -> FlagModel:
    return FlagModel(str(checkpoint("tiny-bert")))


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


@pytest.mark.parametrize("source", SOURCES)
def test_every_place_has_the_vector_of_its_text(source):
    model = FlagModel(str(SOURCES[source]("tiny-bert")))
    places = {text: place for place, text in enumerate(TEXTS)}
    alone = model.encode(list(places))
    row = {text: number for number, text in enumerate(places)}
    vectors = model.encode(TEXTS)
    assert np.abs(vectors - alone[[row[text] for text in TEXTS]]).max() <= 1e-6
    for text in DISTINCT:
        same = vectors[[place for place, other in enumerate(TEXTS) if other == text]]
        assert (same == same[0]).all()


@pytest.mark.parametrize("joined", [False, True])
def test_all_outputs_of_m3(m3, joined):
    texts = [*DISTINCT, *DISTINCT[::-1], "another", *DISTINCT]
    once = m3.encode(DISTINCT, return_sparse=True, return_colbert_vecs=True)
    if joined:
        batch = m3.encode_vectors(texts, sparse=True, colbert=True)
        dense, colbert = batch.dense, batch.colbert.to_list()
        sparse = m3.encode(texts, return_dense=False, return_sparse=True)["lexical_weights"]
    else:
        got = m3.encode(texts, return_sparse=True, return_colbert_vecs=True)
        dense, sparse, colbert = got["dense_vecs"], got["lexical_weights"], got["colbert_vecs"]
    for place, text in enumerate(texts):
        if text == "another":
            continue
        first = DISTINCT.index(text)
        assert np.abs(dense[place] - once["dense_vecs"][first]).max() <= 1e-6
        assert sparse[place].keys() == once["lexical_weights"][first].keys()
        assert colbert[place].shape == once["colbert_vecs"][first].shape
        assert np.abs(colbert[place] - once["colbert_vecs"][first]).max(initial=0) <= 1e-6


def test_a_text_that_comes_again_may_be_changed_alone(m3):
    first, second = m3.encode(["wing", "wing"], return_colbert_vecs=True)["colbert_vecs"]
    first[:] = 0
    assert second.any()


def test_pairs():
    reranker = FlagReranker(str(checkpoint("tiny-reranker")))
    pairs = [("wing", "flow"), ("flow", "wing"), ("wing", ""), ("", "wing")]
    once = [reranker.compute_score([pair])[0] for pair in pairs]
    assert np.allclose(reranker.compute_score(pairs * 3000), np.tile(once, 3000), rtol=1e-6)


def test_a_million_empty_texts_are_one_run(bert):
    core = bert._open().core
    before = core.batches_run
    vectors = bert.encode([""] * 1_000_000)
    assert core.batches_run == before + 1
    assert vectors.shape == (1_000_000, 32)
    assert (vectors == bert.encode("")).all()


def test_every_place_that_was_cut_counts(bert):
    model = FlagModel(str(checkpoint("tiny-bert")), on_truncate="warn")
    texts = ["wing flow " * 10, "wing"] * 40_000
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.encode(texts, max_length=8)
    assert [str(one.message) for one in caught] == ["40000 of 80000 texts had more than 8 tokens and were cut"]


def test_errors_name_the_place_where_a_text_came_first(own_checkpoint):
    strict = FlagModel(str(checkpoint("tiny-bert")), on_truncate="error")
    with pytest.raises(ValueError, match=r"texts\[2\] has 22 tokens, more than max_length 8"):
        strict.encode(["wing", "wing", "wing " * 20, "wing " * 20], max_length=8)
    row = strict.tokenizer("flow")["input_ids"][1]

    def poison(tensors: Tensors) -> None:
        tensors[WORDS] = tensors[WORDS].copy()
        tensors[WORDS][row] = np.nan

    change_tensors(own_checkpoint, poison)
    with pytest.raises(NumericsError, match=r"texts\[3\]"):
        FlagModel(str(own_checkpoint)).encode(["wing", "wing", "heat", "flow", "flow"])
