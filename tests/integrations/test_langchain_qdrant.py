"""LangChain's Qdrant store in hybrid mode, in memory; weights are the model's own to the bit."""

import pickle
from typing import Any

import pytest

pytest.importorskip("langchain_qdrant")

from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore, RetrievalMode

from bge_fast.integrations.langchain import BGEEmbeddings
from bge_fast.integrations.langchain_qdrant import BGESparseEmbeddings
from tests.support.checkpoints import checkpoint
from tests.support.threads import at_once

TEXTS = ["pressure above a wing", "热边界层", "heat transfer at high speed"]


def own_weights(model: Any, texts: list[str]) -> list[dict[int, float]]:
    rows = model.encode(texts, return_dense=False, return_sparse=True)["lexical_weights"]
    return [{int(key): float(weight) for key, weight in row.items()} for row in rows]


def as_dicts(vectors: list[Any]) -> list[dict[int, float]]:
    return [dict(zip(one.indices, one.values, strict=True)) for one in vectors]


@pytest.mark.parametrize("precision", [None, "int8"])
async def test_weights_are_the_models_own(precision: str | None) -> None:
    named = BGESparseEmbeddings(checkpoint("tiny-m3"), precision=precision)
    expected = own_weights(named.model, TEXTS)
    for adapter in (named, BGESparseEmbeddings(named.model), pickle.loads(pickle.dumps(named))):
        assert as_dicts(adapter.embed_documents(TEXTS)) == expected
        assert as_dicts(await adapter.aembed_documents(TEXTS)) == expected
        assert as_dicts([adapter.embed_query(text) for text in TEXTS]) == own_weights(named.model, TEXTS)
        assert await adapter.aembed_query(TEXTS[0]) == adapter.embed_query(TEXTS[0])


def test_a_querys_instruction_is_the_models() -> None:
    adapter = BGESparseEmbeddings(checkpoint("tiny-m3"), query_instruction_for_retrieval="Find: ")
    assert as_dicts([adapter.embed_query("wing")]) == own_weights(adapter.model, ["Find: wing"])


def test_empty_input(m3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = BGESparseEmbeddings(m3)
    assert as_dicts([adapter.embed_query("")]) == [{}]
    monkeypatch.setattr(m3, "encode_vectors", None)
    assert adapter.embed_documents([]) == []


def test_eight_threads_at_once() -> None:
    adapter = BGESparseEmbeddings(checkpoint("tiny-m3"), deterministic=True)
    assert at_once(lambda: adapter.embed_documents(TEXTS)) == [adapter.embed_documents(TEXTS)] * 8


def test_hybrid_search_of_one_model(m3: Any) -> None:
    store = QdrantVectorStore.from_documents(
        [Document(page_content=text, metadata={"row": row}) for row, text in enumerate(TEXTS)],
        embedding=BGEEmbeddings(m3),
        sparse_embedding=BGESparseEmbeddings(m3),
        retrieval_mode=RetrievalMode.HYBRID,
        location=":memory:",
        collection_name="passages",
    )
    for row, text in enumerate(TEXTS):
        (best,) = store.similarity_search(text, k=1)
        assert best.metadata["row"] == row
