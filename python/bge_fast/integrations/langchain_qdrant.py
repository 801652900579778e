"""LangChain's Qdrant store: sparse vectors for its hybrid search."""

import os
from typing import Any

from bge_fast import BGEM3FlagModel
from bge_fast.integrations.opening import open_m3
from bge_fast.integrations.plain import Weights, passage_weights, query_weights
from bge_fast.runtime.background import awaited

try:
    from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
except ImportError as error:
    raise ImportError(
        "bge_fast.integrations.langchain_qdrant needs langchain-qdrant: pip install langchain-qdrant"
    ) from error


class BGESparseEmbeddings(SparseEmbeddings):
    """Lexical weights of BGE-M3, for ``QdrantVectorStore(sparse_embedding=…)``.

    Args:
        model: a hub id, a folder, or a ``BGEM3FlagModel`` that is open, so that dense vectors come of the same one.
        **arguments: of `BGEM3FlagModel`.

    Attributes:
        model: the opened model.
    """

    def __init__(self, model: str | os.PathLike[str] | BGEM3FlagModel, **arguments: Any) -> None:
        self.model = open_m3(model, **arguments)

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Return token ids and weights of each text."""
        return [_vector(row) for row in passage_weights(self.model, texts)]

    def embed_query(self, text: str) -> SparseVector:
        """Return token ids and weights of a query."""
        return _vector(query_weights(self.model, text))

    async def aembed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Do as `embed_documents`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> SparseVector:
        """Do as `embed_query`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.embed_query, text)


def _vector(weights: Weights) -> SparseVector:
    return SparseVector(indices=weights[0], values=weights[1])
