"""mteb 2: embedders and rerankers in its form, so that MTEB, C-MTEB, BEIR and MIRACL run on them.

Importing this needs no mteb; the metadata of a model does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bge_fast.integrations.opening import open_embedder, open_reranker
from bge_fast.integrations.plain import scores_of
from bge_fast.search.encoders import dense_passages, dense_queries, dense_texts

Batches = Iterable[Mapping[str, Any]]


class _Described:
    """A model, and what mteb files results under: its name, and a revision that the caller knows.

    Args:
        model_name: a hub id, a folder, or a model that is open.
        revision: which version of the model it is.
        name: ``organization/model``; by default from ``model_name``.
        device: ``devices=`` of the model class.
        **arguments: of the model class, and ``model_class=``.
    """

    _open: Callable[..., Any]

    def __init__(
        self,
        model_name: Any,
        revision: str | None = None,
        *,
        name: str | None = None,
        device: Any = None,
        **arguments: Any,
    ) -> None:
        if device is not None:
            arguments["devices"] = device
        self.model = type(self)._open(model_name, **arguments)
        self._name, self._revision = name or _two_parts(str(self.model.model_name_or_path)), revision

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

    _open = staticmethod(open_embedder)

    def encode(self, inputs: Batches, *, prompt_type: Any = None, batch_size: int | None = None, **_task: Any) -> Any:
        """Vectors ``(n, dimension)``: of queries and documents with their instructions, of others as they are."""
        options = {"batch_size": batch_size, "show_progress_bar": False}
        kind = getattr(prompt_type, "value", prompt_type)
        texts = _texts(inputs)
        encode = {"query": dense_queries, "document": dense_passages}.get(kind, dense_texts)
        return encode(self.model, texts, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines of all pairs, as a torch tensor, which mteb works with."""
        return _tensor(_normalized(embeddings1) @ _normalized(embeddings2).T)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines of the first with the first, and so on."""
        return _tensor((_normalized(embeddings1) * _normalized(embeddings2)).sum(axis=1))


class MtebCrossEncoder(_Described):
    """A reranker under mteb's ``CrossEncoderProtocol``."""

    _open = staticmethod(open_reranker)

    def predict(self, inputs1: Batches, inputs2: Batches, *, batch_size: int | None = None, **_task: Any) -> Any:
        """A score for each pair."""
        pairs = list(zip(_texts(inputs1), _texts(inputs2), strict=True))
        return np.asarray(scores_of(self.model, pairs, batch_size=batch_size), np.float32)


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
