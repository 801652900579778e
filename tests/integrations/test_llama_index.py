"""LlamaIndex's classes and calls; numbers are the model's own to the bit."""

import asyncio
import copy
import json
import pickle
import threading
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from bge_fast.integrations.llama_index import BGEEmbedding, BGERerank, BGESparseEmbedding
from bge_fast.search.encoders import dense_passages, dense_queries
from tests.support.checkpoints import checkpoint
from tests.support.threads import at_once

TEXTS = ["pressure above a wing", "热边界层", "heat transfer at high speed", "pressure above a wing"]


def embedding(keywords: dict[str, Any], **more: Any) -> BGEEmbedding:
    return BGEEmbedding(keywords["model"], **{k: v for k, v in keywords.items() if k != "model"}, **more)


def nodes() -> list[NodeWithScore]:
    texts = [TextNode(text=text, id_=f"n{row}", metadata={"title": "Flow"}) for row, text in enumerate(TEXTS)]
    return [NodeWithScore(node=node, score=0.5) for node in texts]


# Embeddings ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_vectors_are_the_models_own(embedder: Any) -> None:
    model, keywords = embedder
    passages, query = dense_passages(model, TEXTS).tolist(), dense_queries(model, TEXTS[:1])[0].tolist()
    one = dense_passages(model, TEXTS[:1])[0].tolist()
    for adapter in (embedding(keywords), BGEEmbedding(model)):
        assert adapter.get_text_embedding_batch(TEXTS) == passages
        assert await adapter.aget_text_embedding_batch(TEXTS) == passages
        assert adapter.get_text_embedding(TEXTS[0]) == await adapter.aget_text_embedding(TEXTS[0]) == one
        assert adapter.get_query_embedding(TEXTS[0]) == await adapter.aget_query_embedding(TEXTS[0]) == query
    assert {type(number) for number in query} == {float}


async def test_it_is_kept_and_opened_again(embedder: Any) -> None:
    model, keywords = embedder
    query = dense_queries(model, TEXTS[:1])[0].tolist()
    for adapter in (embedding(keywords, embed_batch_size=7), BGEEmbedding(model, embed_batch_size=7)):
        said = json.loads(adapter.to_json())
        assert said == adapter.to_dict()
        for again in (
            BGEEmbedding.from_dict(said),
            pickle.loads(pickle.dumps(adapter)),
            copy.deepcopy(adapter),
            copy.copy(adapter),
        ):
            assert again.get_query_embedding(TEXTS[0]) == query
            assert again.to_dict() == said
            assert again.embed_batch_size == 7


def test_what_is_told_of_it_are_names_alone(bert: Any) -> None:
    adapter = BGEEmbedding(bert)
    assert adapter.to_payload() == {
        "class_name": "BGEEmbedding",
        "model_name": bert.model_name_or_path,
        "embed_batch_size": 256,
    }
    assert "arguments" not in repr(adapter)
    assert isinstance(adapter, BaseEmbedding)


def test_a_call_of_the_core_takes_as_many_texts_as_are_asked_for(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    own = bert.encode_corpus
    monkeypatch.setattr(bert, "encode_corpus", lambda texts, **more: calls.append(len(texts)) or own(texts, **more))
    BGEEmbedding(bert).get_text_embedding_batch(["heat"] * 300)
    BGEEmbedding(bert, embed_batch_size=3).get_text_embedding_batch(["heat"] * 7)
    assert calls == [256, 44, 3, 3, 1]


async def test_the_event_loop_runs_while_texts_are_encoded(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_ran = threading.Event()

    def slow(verb: Any) -> Any:
        def waits(texts: Any, **more: Any) -> Any:
            assert loop_ran.wait(20), "the loop stands still"
            return verb(texts, **more)

        return waits

    for name in ("encode_corpus", "encode_queries"):
        monkeypatch.setattr(bert, name, slow(getattr(bert, name)))
    adapter = BGEEmbedding(bert)
    for call in (
        adapter.aget_text_embedding("heat"),
        adapter.aget_text_embedding_batch(TEXTS),
        adapter.aget_query_embedding("heat"),
    ):
        loop_ran.clear()
        task = asyncio.create_task(call)
        asyncio.get_running_loop().call_later(0.05, loop_ran.set)
        await task


async def test_no_texts_do_not_touch_the_model(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bert, "encode_corpus", None)
    assert BGEEmbedding(bert).get_text_embedding_batch([]) == []
    assert await BGEEmbedding(bert).aget_text_embedding_batch([]) == []


def test_eight_threads_at_once() -> None:
    adapter = BGEEmbedding(checkpoint("tiny-bert"), deterministic=True)
    assert at_once(lambda: adapter.get_text_embedding_batch(TEXTS)) == [adapter.get_text_embedding_batch(TEXTS)] * 8


@pytest.mark.parametrize("size", [0, 2049])
def test_batch_sizes_are_llama_indexes(bert: Any, size: int) -> None:
    with pytest.raises(ValidationError, match="embed_batch_size"):
        BGEEmbedding(bert, embed_batch_size=size)


def test_in_an_index_and_a_pipeline(bert: Any) -> None:
    documents = [Document(text=text, id_=f"d{row}") for row, text in enumerate(TEXTS[:3])]
    index = VectorStoreIndex.from_documents(documents, embed_model=BGEEmbedding(bert))
    (best,) = index.as_retriever(similarity_top_k=1).retrieve(TEXTS[1])
    assert best.node.ref_doc_id == "d1"
    made = IngestionPipeline(transformations=[BGEEmbedding(bert)]).run(documents=documents)
    assert [node.embedding for node in made] == dense_passages(bert, TEXTS[:3]).tolist()


# Sparse ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_weights_are_the_models_own(m3: Any) -> None:
    rows = m3.encode(TEXTS, return_dense=False, return_sparse=True)["lexical_weights"]
    expected = [{int(key): float(weight) for key, weight in row.items()} for row in rows]
    named = BGESparseEmbedding(checkpoint("tiny-m3"))
    said = json.loads(json.dumps(named.model_dump()))
    del said["class_name"]
    for adapter in (named, BGESparseEmbedding(m3), BGESparseEmbedding(**said), pickle.loads(pickle.dumps(named))):
        assert adapter.get_text_embedding_batch(TEXTS) == expected
        assert await adapter.aget_text_embedding_batch(TEXTS) == expected
        assert [adapter.get_text_embedding(text) for text in TEXTS] == expected
        assert await adapter.aget_text_embedding(TEXTS[0]) == expected[0]
        assert adapter.get_query_embedding(TEXTS[0]) == await adapter.aget_query_embedding(TEXTS[0]) == expected[0]
    assert isinstance(named, BaseSparseEmbedding)
    assert named.get_text_embedding_batch([]) == []


def test_similarity_is_the_models_lexical_score(m3: Any) -> None:
    adapter = BGESparseEmbedding(m3)
    one, other = adapter.get_text_embedding_batch([TEXTS[0], "pressure of a gas"])
    rows = m3.encode([TEXTS[0], "pressure of a gas"], return_dense=False, return_sparse=True)["lexical_weights"]
    assert adapter.similarity(one, other) == m3.compute_lexical_matching_score(*rows) > 0
    assert adapter.similarity({}, other) == 0


# Reranking ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_nodes_are_sorted_by_the_models_scores(reranker: Any) -> None:
    model, keywords = reranker
    best = model.rank("wing", [f"title: Flow\n\n{text}" for text in TEXTS], 3)
    arguments = {name: value for name, value in keywords.items() if name != "model"}
    named = BGERerank(keywords["model"], top_n=3, **arguments)
    given = nodes()
    for adapter in (
        named,
        BGERerank(model, top_n=3),
        BGERerank.from_dict(json.loads(named.to_json())),
        pickle.loads(pickle.dumps(named)),
    ):
        kept = adapter.postprocess_nodes(given, query_str="wing")
        assert [(one.node.node_id, one.score) for one in kept] == [(f"n{position}", score) for position, score in best]
        assert await adapter.apostprocess_nodes(given, QueryBundle("wing")) == kept
    assert given == nodes()
    assert isinstance(named, BaseNodePostprocessor)


def test_scores_of_zero_and_below_are_sorted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = BGERerank(checkpoint("tiny-reranker-bert"), top_n=4)
    monkeypatch.setattr(adapter._model, "compute_score", lambda pairs, **_: [-2.0, 0.0, -2.0, 1.5])
    kept = adapter.postprocess_nodes(nodes(), query_str="wing")
    assert [(one.node.node_id, one.score) for one in kept] == [("n3", 1.5), ("n1", 0.0), ("n0", -2.0), ("n2", -2.0)]


def test_what_cannot_be_reranked() -> None:
    adapter = BGERerank(checkpoint("tiny-reranker-bert"))
    assert adapter.postprocess_nodes([], query_str="wing") == []
    with pytest.raises(ValueError, match="no query to rerank for: pass query_bundle= or query_str="):
        adapter.postprocess_nodes(nodes())
    with pytest.raises(ValidationError, match="top_n"):
        BGERerank(adapter._model, top_n=0)


def test_rerankers_in_eight_threads_at_once() -> None:
    adapter = BGERerank(checkpoint("tiny-reranker-bert"), deterministic=True)
    expected = adapter.postprocess_nodes(nodes(), query_str="wing")
    assert at_once(lambda: adapter.postprocess_nodes(nodes(), query_str="wing")) == [expected] * 8
