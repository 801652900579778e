"""LangChain's kit and calls; numbers are the model's own to the bit."""

import pickle
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain_tests")

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from pydantic import ValidationError

from bge_fast.integrations.langchain import BGECrossEncoder, BGEEmbeddings, BGEReranker
from bge_fast.search.encoders import dense_passages, dense_queries
from tests.support.checkpoints import checkpoint
from tests.support.threads import at_once

TEXTS = ["pressure above a wing", "热边界层", "heat transfer at high speed", "pressure above a wing"]
DOCUMENTS = [Document(page_content=text, metadata={"row": row}, id=f"d{row}") for row, text in enumerate(TEXTS)]


class TestUnits(EmbeddingsUnitTests):
    embeddings_class = BGEEmbeddings
    embedding_model_params = {"model": str(checkpoint("tiny-bert"))}  # noqa: RUF012


class TestIntegration(EmbeddingsIntegrationTests):
    embeddings_class = BGEEmbeddings
    embedding_model_params = {"model": str(checkpoint("tiny-m3")), "model_class": "encoder-only-m3"}  # noqa: RUF012


async def test_vectors_are_the_models_own(embedder: Any) -> None:
    model, keywords = embedder
    passages, query = dense_passages(model, TEXTS).tolist(), dense_queries(model, TEXTS[:1])[0].tolist()
    for adapter in (BGEEmbeddings(**keywords), BGEEmbeddings(model), pickle.loads(pickle.dumps(BGEEmbeddings(model)))):
        assert adapter.embed_documents(TEXTS) == passages
        assert adapter.embed_query(TEXTS[0]) == query
        assert await adapter.aembed_documents(TEXTS) == passages
        assert await adapter.aembed_query(TEXTS[0]) == query
    assert BGEEmbeddings(model).model is model


def test_no_texts_do_not_touch_the_model(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bert, "encode_corpus", None)
    assert BGEEmbeddings(bert).embed_documents([]) == []


def test_one_str_is_no_list_of_texts(bert: Any) -> None:
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        BGEEmbeddings(bert).embed_documents("heat")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"texts\[1\] is NoneType"):
        BGEEmbeddings(bert).embed_documents(["heat", None])  # type: ignore[list-item]


@pytest.mark.parametrize("wrong", [None, 5, {"a": 1}])
def test_what_is_no_list_of_texts(bert: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"expected a list of str, got {type(wrong).__name__}"):
        BGEEmbeddings(bert).embed_documents(wrong)


def test_any_iterable_of_texts_will_do(bert: Any) -> None:
    embeddings = BGEEmbeddings(bert)
    assert embeddings.embed_documents(iter(["a", "b"])) == embeddings.embed_documents(["a", "b"])


def test_eight_threads_at_once() -> None:
    embeddings = BGEEmbeddings(checkpoint("tiny-bert"), deterministic=True)
    expected = embeddings.embed_documents(TEXTS)
    assert at_once(lambda: embeddings.embed_documents(TEXTS)) == [expected] * 8


def test_a_vector_store_finds_the_text_itself() -> None:
    store = InMemoryVectorStore.from_documents(DOCUMENTS[:3], BGEEmbeddings(checkpoint("tiny-bert")))
    assert store.similarity_search(TEXTS[1], k=1)[0].metadata == {"row": 1}


async def test_the_compressor_sorts_copies_and_says_the_scores(reranker: Any) -> None:
    model, keywords = reranker
    best = model.rank("wing", TEXTS, 3)
    for compressor in (BGEReranker(**keywords), BGEReranker(model), pickle.loads(pickle.dumps(BGEReranker(model)))):
        kept = compressor.compress_documents(DOCUMENTS, "wing")
        assert [(one.metadata["row"], one.metadata["relevance_score"]) for one in kept] == best
        assert [one.id for one in kept] == [f"d{position}" for position, _ in best]
        assert all(type(one.metadata["relevance_score"]) is float for one in kept)
        assert await compressor.acompress_documents(DOCUMENTS, "wing") == kept
    assert all(document.metadata == {"row": row} for row, document in enumerate(DOCUMENTS))


@pytest.mark.parametrize(("top_n", "kept"), [(None, 4), (1, 1), (9, 4)])
def test_top_n(top_n: int | None, kept: int) -> None:
    compressor = BGEReranker(checkpoint("tiny-reranker-bert"), top_n=top_n)
    assert len(compressor.compress_documents(DOCUMENTS, "wing")) == kept
    assert compressor.compress_documents([], "wing") == []


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValidationError, match="top_n"):
        BGEReranker(checkpoint("tiny-reranker-bert"), top_n=0)
    with pytest.raises(TypeError, match="open already"):
        BGEReranker(BGEReranker(checkpoint("tiny-reranker-bert")).model, normalize=True)


def test_the_cross_encoder_scores_pairs(reranker: Any) -> None:
    model, keywords = reranker
    pairs = [("wing", text) for text in TEXTS]
    assert BGECrossEncoder(**keywords).score(pairs) == model.compute_score(pairs)
    assert BGECrossEncoder(model).score([]) == []
    assert at_once(lambda: len(BGECrossEncoder(model).score(pairs))) == [4] * 8


def test_scores_of_several_layers_are_refused() -> None:
    encoder = BGECrossEncoder(
        checkpoint("decoder-layerwise"), model_class="decoder-only-layerwise", cutoff_layers=[2, 3]
    )
    with pytest.raises(ValueError, match="scores after 2 layers; set cutoff_layers to one of them"):
        encoder.score([("wing", TEXTS[0])])


def test_in_langchains_own_chain(bert: Any) -> None:
    store = InMemoryVectorStore.from_documents(DOCUMENTS[:3], BGEEmbeddings(bert))
    encoder = BGECrossEncoder(checkpoint("tiny-reranker-bert"))
    expected = encoder.model.rank("wing", TEXTS[:3], 2)
    for compressor in (BGEReranker(encoder.model, top_n=2), CrossEncoderReranker(model=encoder, top_n=2)):
        chain = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=store.as_retriever())
        assert [one.metadata["row"] for one in chain.invoke("wing")] == [position for position, _ in expected]
