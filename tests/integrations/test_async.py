"""What frameworks await ends when it is cancelled, after the batch that is running."""

import asyncio
from typing import Any

import pytest

from bge_fast.errors import InternalError
from bge_fast.runtime import background
from bge_fast.runtime.background import Background
from tests.support.checkpoints import checkpoint

# Many seconds of work.
LONG = [f"{number} boundary layer flow " * 60 for number in range(20_000)]


def langchain(bert: Any) -> Any:
    adapter = pytest.importorskip("bge_fast.integrations.langchain", exc_type=ImportError).BGEEmbeddings(bert)
    return adapter.aembed_documents(LONG)


def langchain_reranker(_: Any) -> Any:
    module = pytest.importorskip("bge_fast.integrations.langchain", exc_type=ImportError)
    from langchain_core.documents import Document

    documents = [Document(page_content=text) for text in LONG]
    return module.BGEReranker(checkpoint("tiny-reranker-bert")).acompress_documents(documents, "heat")


def langchain_qdrant(_: Any) -> Any:
    module = pytest.importorskip("bge_fast.integrations.langchain_qdrant", exc_type=ImportError)
    return module.BGESparseEmbeddings(checkpoint("tiny-m3")).aembed_documents(LONG)


def llama_index(bert: Any) -> Any:
    adapter = pytest.importorskip("bge_fast.integrations.llama_index", exc_type=ImportError).BGEEmbedding(bert)
    return adapter.aget_text_embedding_batch(LONG)


def haystack(bert: Any) -> Any:
    module = pytest.importorskip("bge_fast.integrations.haystack", exc_type=ImportError)
    from haystack import Document

    return module.BGEDocumentEmbedder(bert).run_async([Document(content=text) for text in LONG])


@pytest.mark.parametrize("begin", [langchain, langchain_reranker, langchain_qdrant, llama_index, haystack])
async def test_a_cancelled_call_ends(bert: Any, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Background[Any]] = []

    class Seen(Background[Any]):
        def __init__(self, work: Any) -> None:
            super().__init__(work)
            calls.append(self)

    monkeypatch.setattr(background, "Background", Seen)
    task = asyncio.ensure_future(begin(bert))
    while not any(call._parts for call in calls):
        await asyncio.sleep(0.001)
        assert not task.done(), "it was over before it was cancelled"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all([is_stopped(call) for call in calls])


def is_stopped(call: Background[Any]) -> bool:
    """Whether a call did not begin, or ended before its end."""
    return call.future.cancelled() or isinstance(call.future.exception(60), InternalError)
