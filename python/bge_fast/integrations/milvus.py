"""Milvus: BGE-M3 and rerankers with the names and results of ``pymilvus.model``, which is not needed for it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bge_fast.integrations.opening import open_m3, open_reranker
from bge_fast.search.encoders import texts_of


class BGEM3EmbeddingFunction:
    """BGE-M3 for a collection with dense and sparse fields.

    Args:
        model_name: a hub id, a folder, or a `BGEM3FlagModel`.
        batch_size: most texts of one ONNX Runtime call; ``None`` takes the model's.
        device: ``devices=`` of the model class.
        return_dense, return_sparse, return_colbert_vecs: what a call gives.
        **arguments: of `BGEM3FlagModel`.
    """

    def __init__(
        self,
        model_name: Any = "BAAI/bge-m3",
        batch_size: int | None = None,
        device: Any = None,
        *,
        return_dense: bool = True,
        return_sparse: bool = True,
        return_colbert_vecs: bool = False,
        **arguments: Any,
    ) -> None:
        self.model = open_m3(model_name, **_with_device(arguments, device))
        self._options: dict[str, Any] = {
            "dense": return_dense,
            "sparse": return_sparse,
            "colbert": return_colbert_vecs,
            "batch_size": batch_size,
            "show_progress_bar": False,
        }

    def __call__(self, texts: Sequence[str]) -> dict[str, Any]:
        """Encode texts as `encode_documents` does."""
        return self.encode_documents(texts)

    def encode_documents(self, documents: Sequence[str]) -> dict[str, Any]:
        """Encode passages.

        Returns:
            ``dense``: a list of float32 ``(dim,)``; ``sparse``: a ``scipy.sparse.csr_array`` ``(n, vocabulary)``;
            ``colbert_vecs``: a list of float32 ``(tokens - 1, dim)``. Only those that were asked for.
        """
        return self._encoded(documents, query=False)

    def encode_queries(self, queries: Sequence[str]) -> dict[str, Any]:
        """Encode queries; otherwise as `encode_documents`."""
        return self._encoded(queries, query=True)

    @property
    def dim(self) -> dict[str, int]:
        """Widths of the fields: ``dense``, ``sparse`` (the vocabulary's) and ``colbert_vecs``."""
        return {
            "dense": self.model.info()["dimension"],
            "sparse": len(self.model.tokenizer),
            "colbert_vecs": self.model.model.colbert_linear.out_features,
        }

    def _encoded(self, texts: Sequence[str], query: bool) -> dict[str, Any]:
        found = self.model.encode_vectors(texts, query=query, **self._options)
        results: dict[str, Any] = {}
        if found.dense is not None:
            results["dense"] = list(found.dense)
        if found.sparse is not None:
            results["sparse"] = found.sparse.to_milvus()
        if found.colbert is not None:
            results["colbert_vecs"] = found.colbert.to_list()
        return results


@dataclass(frozen=True)
class RerankResult:
    """A document with its score, and its place in the list that was passed."""

    text: str
    score: float
    index: int

    def to_dict(self) -> dict[str, Any]:
        """``{"text", "score", "index"}``."""
        return asdict(self)


class BGERerankFunction:
    """A reranker for hits of a search.

    Args:
        model_name: a hub id, a folder, or a reranker of bge_fast.
        batch_size: most pairs of one ONNX Runtime call; ``None`` takes the model's.
        normalize: map scores to 0 … 1.
        device: ``devices=`` of the model class.
        **arguments: of the model class, and ``model_class=``.
    """

    def __init__(
        self,
        model_name: Any = "BAAI/bge-reranker-v2-m3",
        batch_size: int | None = None,
        normalize: bool = True,
        device: Any = None,
        **arguments: Any,
    ) -> None:
        self.reranker: Any = open_reranker(model_name, **_with_device(arguments, device))
        self.batch_size = batch_size
        self.normalize = normalize

    def __call__(self, query: str, documents: Iterable[str], top_k: int | None = 5) -> list[RerankResult]:
        """Sort documents by their score for a query: the best ``top_k``, or all for ``None``; best first."""
        texts = texts_of(documents, "documents")
        options = {"batch_size": self.batch_size, "normalize": self.normalize, "show_progress_bar": False}
        ranked = self.reranker.rank(query, texts, top_k, **options)
        return [RerankResult(texts[hit.position], hit.score, hit.position) for hit in ranked]


def _with_device(arguments: dict[str, Any], device: Any) -> dict[str, Any]:
    return arguments if device is None else {"devices": device, **arguments}
