"""LangChain: embeddings, a cross-encoder and a document compressor."""

import os
from collections.abc import Sequence
from typing import Any

from bge_fast import AbsEmbedder, AbsReranker
from bge_fast.integrations.opening import open_embedder, open_reranker
from bge_fast.integrations.plain import passage_vectors, query_vector, ranked, scores_of
from bge_fast.runtime.background import awaited

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.embeddings import Embeddings
    from pydantic import ConfigDict, Field
except ImportError as error:
    raise ImportError("bge_fast.integrations.langchain needs langchain-core: pip install langchain-core") from error


class BGEEmbeddings(Embeddings):
    """An embedder; of BGE-M3 its dense vectors.

    Args:
        model: a hub id, a folder, or an embedder that is open.
        model_class: the class, where the name does not say it; see `FlagAutoModel.from_finetuned`.
        **arguments: of the class, such as ``query_instruction_for_retrieval``.

    Attributes:
        model: the opened embedder.
    """

    def __init__(
        self, model: str | os.PathLike[str] | AbsEmbedder, *, model_class: str | None = None, **arguments: Any
    ) -> None:
        self.model = open_embedder(model, model_class, **arguments)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, made with the model's passage instruction."""
        return passage_vectors(self.model, texts)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query, made with the model's query instruction."""
        return query_vector(self.model, text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do as `embed_documents`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Do as `embed_query`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.embed_query, text)


class BGECrossEncoder(BaseCrossEncoder):
    """A reranker that scores pairs, for components that sort by themselves.

    Args:
        model: a hub id, a folder, or a reranker that is open.
        model_class: the class, where the name does not say it; see `FlagAutoReranker.from_finetuned`.
        **arguments: of the class, such as ``normalize=True``.

    Attributes:
        model: the opened reranker.
    """

    def __init__(
        self, model: str | os.PathLike[str] | AbsReranker, *, model_class: str | None = None, **arguments: Any
    ) -> None:
        self.model = open_reranker(model, model_class, **arguments)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return a score for each pair of query and passage."""
        return scores_of(self.model, text_pairs)


class BGEReranker(BaseDocumentCompressor):
    """A reranker that keeps the best documents, with their scores as ``relevance_score`` in the metadata of copies.

    Args:
        model: a hub id, a folder, or a reranker that is open.
        top_n: how many documents to keep; ``None`` keeps all.
        model_class: the class, where the name does not say it; see `FlagAutoReranker.from_finetuned`.
        **arguments: of the class, such as ``normalize=True``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: AbsReranker
    """The opened reranker."""
    top_n: int | None = Field(default=3, ge=1)
    """How many documents to keep; ``None`` keeps all."""

    def __init__(
        self,
        model: str | os.PathLike[str] | AbsReranker,
        *,
        top_n: int | None = 3,
        model_class: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(model=open_reranker(model, model_class, **arguments), top_n=top_n)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return copies of the best documents, best first; the score is in their metadata."""
        best = ranked(self.model, query, [document.page_content for document in documents], self.top_n)
        return [_scored(documents[position], score) for position, score in best]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Do as `compress_documents`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.compress_documents, documents, query, callbacks)


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
