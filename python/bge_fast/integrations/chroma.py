"""Chroma: embedding functions that a collection keeps and opens again, dense and sparse."""

from collections.abc import Iterable, Mapping
from typing import Any

import bge_fast
from bge_fast import AbsEmbedder
from bge_fast.errors import quoted
from bge_fast.integrations.opening import open_embedder, open_m3
from bge_fast.search.encoders import dense_passages, dense_queries

try:
    from chromadb import EmbeddingFunction
    from chromadb.api.types import SparseEmbeddingFunction
    from chromadb.utils.embedding_functions import register_embedding_function, register_sparse_embedding_function
except ImportError as error:
    raise ImportError("this adapter needs chromadb: pip install chromadb") from error

# What decides which vectors a model gives; a collection keeps it and opens the model again with it.
_KEPT = (
    "pooling_method",
    "normalize_embeddings",
    "truncate_dim",
    "query_max_length",
    "passage_max_length",
    "query_instruction_for_retrieval",
    "query_instruction_format",
    "passage_instruction_for_retrieval",
    "passage_instruction_format",
    "examples_for_task",
    "examples_instruction_format",
    "dense",
)
_KEPT_PRECISIONS = ("bf16", "int8", "int4")


@register_embedding_function
class BGEEmbeddingFunction(EmbeddingFunction[Any]):  # type: ignore[misc]
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
        """What a collection keeps: the model's name, class, and the options that decide its vectors."""
        return _config_of(self.model)

    @staticmethod
    def build_from_config(config: Mapping[str, Any]) -> "BGEEmbeddingFunction":
        """Open what `get_config` described."""
        return BGEEmbeddingFunction(_opened(config))


@register_sparse_embedding_function
class BGESparseEmbeddingFunction(SparseEmbeddingFunction[Any]):  # type: ignore[misc]
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
        return _config_of(self.model)

    @staticmethod
    def build_from_config(config: Mapping[str, Any]) -> "BGESparseEmbeddingFunction":
        """Open what `get_config` described."""
        return BGESparseEmbeddingFunction(_opened(config))

    def _encoded(self, texts: Iterable[str], query: bool) -> Any:
        found = self.model.encode_vectors(texts, dense=False, query=query, show_progress_bar=False)
        return [] if found.sparse is None else found.sparse.to_chroma()


def _config_of(model: AbsEmbedder) -> dict[str, Any]:
    options = {name: getattr(model, name) for name in _KEPT if getattr(model, name, None) is not None}
    if (precision := model.info()["precision"]) in _KEPT_PRECISIONS:
        options["precision"] = precision
    return {"model": model.model_name_or_path, "class": type(model).__name__, "options": options}


def _opened(config: Mapping[str, Any]) -> AbsEmbedder:
    """Open the model that a collection names.

    Raises:
        ValueError: a class that is no embedder of bge_fast.
    """
    name = config["class"]
    build: Any = getattr(bge_fast, name) if name in bge_fast.__all__ else None
    if not isinstance(build, type) or AbsEmbedder not in build.__mro__:
        raise ValueError(f"the collection's embedding function names {quoted(name)}, no embedder of bge_fast")
    opened: AbsEmbedder = build(config["model"], **config["options"])
    return opened
