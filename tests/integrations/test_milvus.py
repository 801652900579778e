"""Milvus' embedding and rerank functions: their results, and that no part of pymilvus is needed."""

import subprocess
import sys

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagReranker
from bge_fast.integrations.milvus import BGEM3EmbeddingFunction, BGERerankFunction
from tests.support.checkpoints import checkpoint

TEXTS = ["a wing of the plane in flow", "", "heat", "wing wing the wing of a wing"]


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")), query_instruction_for_retrieval="Find: ")


def test_vectors_are_the_models(m3: BGEM3FlagModel) -> None:
    function = BGEM3EmbeddingFunction(m3, return_colbert_vecs=True)
    for found, query in (
        (function(TEXTS), False),
        (function.encode_documents(TEXTS), False),
        (function.encode_queries(TEXTS), True),
    ):
        wanted = m3.encode_vectors(TEXTS, colbert=True, query=query)
        assert list(found) == ["dense", "sparse", "colbert_vecs"]
        assert isinstance(found["dense"], list)
        np.testing.assert_array_equal(found["dense"], wanted.dense)
        np.testing.assert_array_equal(found["sparse"].toarray(), wanted.sparse.to_csr().toarray())
        np.testing.assert_array_equal(np.concatenate(found["colbert_vecs"]), wanted.colbert.vectors)
    assert function.dim == {"dense": 32, "sparse": found["sparse"].shape[1], "colbert_vecs": 32}


def test_only_what_was_asked_for(m3: BGEM3FlagModel) -> None:
    assert list(BGEM3EmbeddingFunction(m3, return_sparse=False)(TEXTS)) == ["dense"]
    assert list(BGEM3EmbeddingFunction(m3, return_dense=False)(TEXTS)) == ["sparse"]
    none = BGEM3EmbeddingFunction(m3)([])
    assert (none["dense"], none["sparse"].shape[0]) == ([], 0)


def test_a_name_takes_the_arguments_of_pymilvus() -> None:
    name = str(checkpoint("tiny-m3"))
    function = BGEM3EmbeddingFunction(model_name=name, batch_size=2, device="cpu", use_fp16=False)
    assert len(function(TEXTS)["dense"]) == 4
    rerank = BGERerankFunction(model_name=str(checkpoint("tiny-reranker")), device="cpu", max_length=64)
    assert rerank.reranker.max_length == 64


def test_documents_are_ranked() -> None:
    reranker = FlagReranker(str(checkpoint("tiny-reranker-bert")))
    found = BGERerankFunction(reranker)("wing", TEXTS, top_k=3)
    scores = reranker.compute_score([("wing", text) for text in TEXTS], normalize=True)
    assert [one.score for one in found] == sorted(scores, reverse=True)[:3]
    assert all(scores[one.index] == one.score and TEXTS[one.index] == one.text for one in found)
    assert found[0].to_dict() == {"text": found[0].text, "score": found[0].score, "index": found[0].index}
    assert len(BGERerankFunction(reranker, normalize=False)("wing", TEXTS, top_k=None)) == 4
    assert BGERerankFunction(reranker)("wing", []) == []


def test_one_str_is_no_list_of_documents() -> None:
    with pytest.raises(TypeError, match="one str was passed"):
        BGERerankFunction(str(checkpoint("tiny-reranker-bert")))("wing", "heat")


def test_an_entity_goes_into_pymilvus(m3: BGEM3FlagModel) -> None:
    helper = pytest.importorskip("pymilvus.client.entity_helper")
    matrix = BGEM3EmbeddingFunction(m3)(TEXTS)["sparse"]
    rows = helper.sparse_proto_to_rows(helper.sparse_rows_to_proto(matrix), 0, len(TEXTS))
    assert rows[3] == dict(zip(matrix[[3]].indices.tolist(), matrix[[3]].data.tolist(), strict=True))


def test_pymilvus_is_not_imported() -> None:
    program = (
        "import sys; from bge_fast.integrations.milvus import BGEM3EmbeddingFunction as F\n"
        f"F({str(checkpoint('tiny-m3'))!r})(['heat'])\n"
        "assert not {'torch', 'transformers', 'pymilvus', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
