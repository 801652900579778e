"""Models as mteb 2 takes them, so that MTEB, C-MTEB, BEIR and MIRACL run on them.

Importing this needs no mteb; the metadata of a model does.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bge_fast.search.encoders import dense_passages, dense_queries

Batches = Iterable[Mapping[str, Any]]


class _Described:
    """What mteb files results under: the model's name, and a revision that the caller knows."""

    def __init__(self, model: Any, *, name: str | None = None, revision: str | None = None) -> None:
        self.model = model
        self._name, self._revision = name or _two_parts(str(model.model_name_or_path)), revision

    @property
    def mteb_model_meta(self) -> Any:
        """Mteb's description of the model.

        Raises:
            ImportError: mteb is not installed.
        """
        try:
            from mteb.models import ModelMeta
        except ImportError as error:
            raise ImportError("mteb 2 is not installed: pip install 'mteb>=2'") from error
        return ModelMeta.create_empty(
            overwrites={"name": self._name, "revision": self._revision, "framework": ["ONNX"]}
        )


class MtebEncoder(_Described):
    """An embedder, of BGE-M3 its dense vectors, under mteb's ``EncoderProtocol``."""

    def encode(self, inputs: Batches, *, prompt_type: Any = None, batch_size: int | None = None, **_task: Any) -> Any:
        """Vectors ``(n, dimension)``: of queries and documents with their instructions, of others as they are."""
        options = {"batch_size": batch_size, "show_progress_bar": False}
        kind = getattr(prompt_type, "value", prompt_type)
        texts = _texts(inputs)
        if kind == "query":
            return dense_queries(self.model, texts, **options)
        if kind == "document":
            return dense_passages(self.model, texts, **options)
        vectors = self.model.encode(texts, **options)
        return vectors["dense_vecs"] if isinstance(vectors, dict) else vectors

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines of all pairs, as a torch tensor, which mteb works with."""
        return _tensor(_normalized(embeddings1) @ _normalized(embeddings2).T)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines of the first with the first, and so on."""
        return _tensor((_normalized(embeddings1) * _normalized(embeddings2)).sum(axis=1))


class MtebCrossEncoder(_Described):
    """A reranker under mteb's ``CrossEncoderProtocol``."""

    def predict(self, inputs1: Batches, inputs2: Batches, *, batch_size: int | None = None, **_task: Any) -> Any:
        """A score for each pair."""
        pairs = list(zip(_texts(inputs1), _texts(inputs2), strict=True))
        scores = self.model.compute_score(pairs, batch_size=batch_size, show_progress_bar=False) if pairs else []
        return np.asarray(scores, np.float32)


def _texts(batches: Batches) -> list[str]:
    return [text for batch in batches for text in batch["text"]]


def _normalized(vectors: Any) -> Any:
    rows = np.atleast_2d(np.asarray(vectors, np.float32))
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _tensor(numbers: Any) -> Any:
    from torch import from_numpy

    return from_numpy(np.ascontiguousarray(numbers))


def _two_parts(name: str) -> str:
    """Mteb wants ``organization/model``; of a folder the last part is the model."""
    parts = [part for part in name.split("/") if part]
    return name if name.count("/") == 1 and not name.startswith(("/", ".")) else f"local/{parts[-1]}"
