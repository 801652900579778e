"""Haystack's components alone and in pipelines; numbers are the model's own to the bit."""

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("haystack")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bge_fast.integrations.haystack import (
    BGEDocumentEmbedder,
    BGERanker,
    BGESparseDocumentEmbedder,
    BGESparseTextEmbedder,
    BGETextEmbedder,
)
from bge_fast.search.encoders import dense_passages, dense_queries
from tests.support.checkpoints import checkpoint
from tests.support.threads import at_once

TEXTS = ["pressure above a wing", "热边界层", "heat transfer at high speed"]
DOCUMENTS = [Document(content=text, meta={"title": f"Part {row}", "none": None}) for row, text in enumerate(TEXTS)]
MODULE = "bge_fast.integrations.haystack"


def forms(component: Any, model: Any, keywords: dict[str, Any], **options: Any) -> list[Any]:
    """A component of a name and of an open model, and what comes of them through JSON."""
    made = [component(**keywords, **options), component(model, **options)]
    return made + [component.from_dict(json.loads(json.dumps(one.to_dict()))) for one in made]


async def test_queries_have_the_models_own_vectors(embedder: Any) -> None:
    model, keywords = embedder
    expected = {"embedding": dense_queries(model, TEXTS[:1])[0].tolist()}
    for one in forms(BGETextEmbedder, model, keywords):
        assert one.run(TEXTS[0]) == expected
        assert await one.run_async(TEXTS[0]) == expected


async def test_documents_have_the_models_own_vectors(embedder: Any) -> None:
    model, keywords = embedder
    read = [f"Part {row} / {text}" for row, text in enumerate(TEXTS)]
    options = {"meta_fields_to_embed": ["title", "none", "other"], "embedding_separator": " / "}
    for one in forms(BGEDocumentEmbedder, model, keywords, **options):
        documents = one.run(DOCUMENTS)["documents"]
        assert [document.embedding for document in documents] == dense_passages(model, read).tolist()
        assert [replace(document, embedding=None) for document in documents] == DOCUMENTS
        assert (await one.run_async(DOCUMENTS))["documents"] == documents
    assert all(document.embedding is None for document in DOCUMENTS)
    json.dumps([document.to_dict() for document in documents])


async def test_sparse_embeddings_are_the_models_own_weights(m3: Any) -> None:
    rows = m3.encode(TEXTS, return_dense=False, return_sparse=True)["lexical_weights"]
    expected = [{int(key): float(weight) for key, weight in row.items()} for row in rows]

    def as_dict(embedding: Any) -> dict[int, float]:
        return dict(zip(embedding.indices, embedding.values, strict=True))

    for one in forms(BGESparseDocumentEmbedder, m3, {"model": str(checkpoint("tiny-m3"))}):
        documents = one.run(DOCUMENTS)["documents"]
        assert [as_dict(document.sparse_embedding) for document in documents] == expected
        assert (await one.run_async(DOCUMENTS))["documents"] == documents
        assert one.run([]) == {"documents": []}
    for one in forms(BGESparseTextEmbedder, m3, {"model": str(checkpoint("tiny-m3"))}):
        embedding = one.run(TEXTS[2])["sparse_embedding"]
        assert as_dict(embedding) == expected[2]
        assert await one.run_async(TEXTS[2]) == {"sparse_embedding": embedding}
    json.dumps([document.to_dict() for document in documents])


async def test_the_ranker_sorts_copies_by_the_models_scores(reranker: Any) -> None:
    model, keywords = reranker
    best = model.rank("wing", TEXTS, 2)
    for one in forms(BGERanker, model, keywords, top_k=2):
        documents = one.run("wing", DOCUMENTS)["documents"]
        assert [(document.id, document.score) for document in documents] == [
            (DOCUMENTS[position].id, score) for position, score in best
        ]
        assert (await one.run_async("wing", DOCUMENTS))["documents"] == documents
        assert len(one.run("wing", DOCUMENTS, top_k=5)["documents"]) == 3
    assert all(document.score is None for document in DOCUMENTS)


def test_the_ranker_reads_fields_and_each_document_once() -> None:
    ranker = BGERanker(checkpoint("tiny-reranker-bert"), meta_fields_to_embed=["title"])
    worse, better = replace(DOCUMENTS[0], score=0.1, meta={"title": "a"}), replace(DOCUMENTS[0], score=0.2)
    (kept,) = ranker.run("wing", [DOCUMENTS[0], worse, better, worse])["documents"]
    assert kept.meta == better.meta
    assert kept.score == ranker._opened.compute_score([("wing", f"Part 0\n{TEXTS[0]}")])[0]


def test_empty_input_and_top_k() -> None:
    ranker = BGERanker(checkpoint("tiny-reranker-bert"))
    assert ranker.run("wing", []) == {"documents": []}
    assert BGEDocumentEmbedder(checkpoint("tiny-bert")).run([]) == {"documents": []}
    assert len(BGEDocumentEmbedder(checkpoint("tiny-bert")).run([Document()])["documents"][0].embedding) == 32
    for refused in (lambda: BGERanker("a", top_k=0), lambda: ranker.run("wing", DOCUMENTS, top_k=-1)):
        with pytest.raises(ValueError, match="top_k=.* keeps no document; it is at least 1"):
            refused()


@pytest.mark.parametrize("documents", ["wing", [DOCUMENTS[0], "wing"]])
def test_what_is_no_document_is_named(bert: Any, documents: Any) -> None:
    place = len(documents) - 1 if isinstance(documents, list) else 0
    for run in (
        BGEDocumentEmbedder(bert).run,
        lambda given: BGERanker(checkpoint("tiny-reranker-bert")).run("a", given),
    ):
        with pytest.raises(TypeError, match=rf"documents\[{place}\] is str, not Document"):
            run(documents)
    with pytest.raises(TypeError, match="is Document, not str"):
        BGETextEmbedder(bert).run(DOCUMENTS[0])


def test_a_component_opens_when_it_is_warmed_up(bert: Any) -> None:
    embedder = BGETextEmbedder("no-such-folder/at-all")
    assert embedder.to_dict()["init_parameters"] == {"model": "no-such-folder/at-all", "model_class": None}
    with pytest.raises(FileNotFoundError, match="no-such-folder"):
        embedder.warm_up()
    embedder = BGETextEmbedder(checkpoint("tiny-bert"))
    embedder.warm_up()
    opened = embedder._opened
    embedder.warm_up()
    assert embedder._opened is opened
    assert BGETextEmbedder(bert)._opened is bert
    with pytest.raises(TypeError, match="not a name, a folder or a reranker"):
        BGERanker(bert)


def test_it_pickles(bert: Any) -> None:
    for one in (BGETextEmbedder(bert), BGETextEmbedder(checkpoint("tiny-bert"))):
        assert pickle.loads(pickle.dumps(one)).run("heat") == one.run("heat")


def test_eight_threads_at_once() -> None:
    cold = BGEDocumentEmbedder(checkpoint("tiny-bert"), deterministic=True)
    results = at_once(lambda: (cold.run(DOCUMENTS), id(cold._opened)))
    assert results == [results[0]] * 8


async def test_a_pipeline_is_saved_loaded_and_run(bert: Any) -> None:
    store = InMemoryDocumentStore()
    store.write_documents(BGEDocumentEmbedder(bert).run(DOCUMENTS)["documents"])
    expected = BGERanker(checkpoint("tiny-reranker-bert"), top_k=2).run(TEXTS[1], DOCUMENTS)["documents"]
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGETextEmbedder(bert))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    pipeline.add_component("ranker", BGERanker(checkpoint("tiny-reranker-bert"), top_k=2))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "ranker.documents")
    asked = {"embedder": {"text": TEXTS[1]}, "ranker": {"query": TEXTS[1]}}
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=[MODULE])
    for results in (pipeline.run(asked), again.run(asked), await again.run_async(asked)):
        found = [(document.id, document.score) for document in results["ranker"]["documents"]]
        assert found == [(document.id, document.score) for document in expected]


def test_a_pipeline_of_an_untrusted_module_is_refused(bert: Any) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGETextEmbedder(bert))
    with pytest.raises(Exception, match="bge_fast"):
        Pipeline.loads(pipeline.dumps())
