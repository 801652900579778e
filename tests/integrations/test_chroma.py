"""Chroma's embedding functions, in a client of this process: searched, and opened again from what a collection keeps."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagICLModel, FlagModel
from tests.support.checkpoints import checkpoint

chromadb = pytest.importorskip("chromadb")
from bge_fast.integrations.chroma import BGEEmbeddingFunction, BGESparseEmbeddingFunction  # noqa: E402

TEXTS = ["a wing of the plane in flow", "a hot plate", "heat", "wing wing the wing of a wing"]


@pytest.fixture(scope="module")
def model() -> FlagModel:
    return FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval="Find: ", truncate_dim=16)


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


@pytest.fixture(scope="module")
def client():
    return chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))


def test_vectors_are_the_models(model: FlagModel) -> None:
    function = BGEEmbeddingFunction(model)
    np.testing.assert_array_equal(function(TEXTS), model.encode_corpus(TEXTS))
    np.testing.assert_array_equal(function.embed_query(TEXTS), model.encode_queries(TEXTS))


def test_one_str_is_not_taken_for_its_characters(model: FlagModel) -> None:
    with pytest.raises(TypeError, match=r"one str was passed where a list of texts belongs; pass \[text\]"):
        BGEEmbeddingFunction(model)("heat")


def test_nor_by_the_sparse_function(m3: BGEM3FlagModel) -> None:
    with pytest.raises(TypeError, match="one str was passed"):
        BGESparseEmbeddingFunction(m3)("heat")


def test_a_collection_finds_and_opens_again(client, model: FlagModel) -> None:
    made = client.create_collection("texts", embedding_function=BGEEmbeddingFunction(model))
    made.add(ids=list("abcd"), documents=TEXTS)
    np.testing.assert_allclose(made.get(include=["embeddings"])["embeddings"], model.encode_corpus(TEXTS), rtol=1e-6)
    wanted = 1 - model.encode_queries("heat") @ model.encode_corpus(TEXTS).T
    again = client.get_collection("texts")
    for collection in (made, again):
        found = collection.query(query_texts=["heat"], n_results=4)
        assert found["ids"] == [["abcd"[place] for place in np.argsort(wanted)]]
        np.testing.assert_allclose(found["distances"][0], np.sort(wanted), atol=1e-5)


def test_what_a_collection_keeps_makes_the_same_vectors(model: FlagModel) -> None:
    eight = FlagModel(str(checkpoint("tiny-xlmr")), precision="int8", pooling_method="mean")
    examples = [{"instruct": "Find.", "query": "heat", "response": "a hot plate"}]
    icl = FlagICLModel(str(checkpoint("decoder-mistral")), examples_for_task=examples)
    for one in (model, eight, icl):
        function = BGEEmbeddingFunction(one)
        config = json.loads(json.dumps(function.get_config()))
        built = BGEEmbeddingFunction.build_from_config(config)
        assert type(built.model) is type(one)
        np.testing.assert_array_equal(built(TEXTS), function(TEXTS))
        np.testing.assert_array_equal(built.embed_query(TEXTS), function.embed_query(TEXTS))


def test_sparse_vectors_are_the_models(m3: BGEM3FlagModel) -> None:
    function = BGESparseEmbeddingFunction(m3)
    wanted = m3.encode(TEXTS, return_sparse=True)["lexical_weights"]
    for found in (function(TEXTS), function.embed_query(TEXTS)):
        assert [dict(zip(map(str, one.indices), one.values, strict=True)) for one in found] == wanted
        assert all(one.indices == sorted(one.indices) for one in found)
    built = BGESparseEmbeddingFunction.build_from_config(json.loads(json.dumps(function.get_config())))
    assert built(TEXTS) == function(TEXTS)


def test_without_chroma_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['chromadb'] = None; import bge_fast.integrations.chroma"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install chromadb" in found.stderr
