"""Chroma: embedding functions that a collection keeps and opens again, dense and sparse."""

from collections.abc import Iterable, Mapping
from typing import Any

from bge_fast.integrations.opening import described, open_embedder, open_m3
from bge_fast.search.encoders import dense_passages, dense_queries, texts_of

try:
    from chromadb import EmbeddingFunction
    from chromadb.api.types import SparseEmbeddingFunction
    from chromadb.utils.embedding_functions import register_embedding_function, register_sparse_embedding_function
except ImportError as error:
    raise ImportError("this adapter needs chromadb: pip install chromadb") from error


@register_embedding_function
class BGEEmbeddingFunction(EmbeddingFunction[Any]):
    """Dense vectors of a collection's documents and queries; of BGE-M3 its dense output.

    Args:
        model: a hub id, a folder, or an embedder of bge_fast.
        **arguments: of the model class, and ``model_class=``.
    """

    def __init__(self, model: Any, **arguments: Any) -> None:
        self.model = open_embedder(model, **arguments)

    def __call__(self, input: Any) -> Any:
        """Encode documents: a float32 vector each."""
        return list(dense_passages(self.model, input, show_progress_bar=False))

    def embed_query(self, input: Any) -> Any:
        """Encode queries: a float32 vector each."""
        return list(dense_queries(self.model, input, show_progress_bar=False))

    @staticmethod
    def name() -> str:
        """What collections call this function."""
        return "bge_fast"

    def default_space(self) -> Any:
        """Cosine, as BGE's models are trained."""
        return "cosine"

    def get_config(self) -> dict[str, Any]:
        """What a collection keeps: the model's name, its class, and the arguments that open it again."""
        return described(self.model)

    @staticmethod
    def build_from_config(config: Mapping[str, Any]) -> "BGEEmbeddingFunction":
        """Open what `get_config` described."""
        return BGEEmbeddingFunction(config["model"], model_class=config["model_class"], **config["arguments"])


@register_sparse_embedding_function
class BGESparseEmbeddingFunction(SparseEmbeddingFunction[Any]):
    """BGE-M3's lexical weights as sparse vectors.

    Args:
        model: a hub id, a folder, or a `BGEM3FlagModel`.
        **arguments: of `BGEM3FlagModel`.
    """

    def __init__(self, model: Any, **arguments: Any) -> None:
        self.model = open_m3(model, **arguments)

    def __call__(self, input: Any) -> Any:
        """Encode documents: a ``SparseVector`` each, its ids in ascending order."""
        return self._encoded(input, query=False)

    def embed_query(self, input: Any) -> Any:
        """Encode queries: a ``SparseVector`` each."""
        return self._encoded(input, query=True)

    @staticmethod
    def name() -> str:
        """What collections call this function."""
        return "bge_fast_sparse"

    def get_config(self) -> dict[str, Any]:
        """As `BGEEmbeddingFunction.get_config`."""
        return described(self.model)

    @staticmethod
    def build_from_config(config: Mapping[str, Any]) -> "BGESparseEmbeddingFunction":
        """Open what `get_config` described."""
        return BGESparseEmbeddingFunction(config["model"], **config["arguments"])

    def _encoded(self, texts: Iterable[str], query: bool) -> Any:
        found = self.model.encode_vectors(texts_of(texts), dense=False, query=query, show_progress_bar=False)
        return [] if found.sparse is None else found.sparse.to_chroma()
