"""Haystack: embedders and a ranker as components.

A saved pipeline is loaded only where this module is trusted:
``Pipeline.loads(text, allowed_modules=["bge_fast.integrations.haystack"])``, or ``HAYSTACK_DESERIALIZATION_ALLOWLIST``.
"""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

from bge_fast import AbsEmbedder, AbsReranker
from bge_fast.integrations.opening import described, open_embedder, open_m3, open_reranker
from bge_fast.integrations.plain import passage_vectors, passage_weights, query_vector, query_weights, ranked
from bge_fast.runtime.background import awaited
from bge_fast.runtime.locks import Lock

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.dataclasses import SparseEmbedding
except ImportError as error:
    raise ImportError("bge_fast.integrations.haystack needs Haystack: pip install haystack-ai") from error

_Named = str | os.PathLike[str] | AbsEmbedder | AbsReranker
_opening = Lock()


class _OfModel:
    """A component around a model, which opens when the component is warmed up, not when it is made."""

    _open: Callable[..., Any]
    _opened: Any = None

    def __init__(self, model: _Named, model_class: str | None = None, **arguments: Any) -> None:
        self.model, self.model_class, self.arguments = model, model_class, arguments
        self._options: dict[str, Any] = {}
        if not isinstance(model, str | os.PathLike):
            self.warm_up()  # reads nothing: a model that is open, or an error

    def warm_up(self) -> None:
        """Open the model, unless it is open. Haystack calls this before every run."""
        with _opening.held():
            if self._opened is None:
                self._opened = self._open(self.model, self.model_class, **self.arguments)

    def to_dict(self) -> dict[str, Any]:
        """Return what the constructor got; in place of a model that was open, what opens an equal one."""
        if isinstance(self.model, str | os.PathLike):
            named: dict[str, Any] = {"model": os.fspath(self.model), "model_class": self.model_class}
            arguments = self.arguments
        else:
            named = described(self.model)
            arguments = named.pop("arguments")
        return dict(default_to_dict(self, **named, **self._options, **arguments))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that `to_dict` described."""
        made: Self = default_from_dict(cls, data)
        return made


class _OfDocuments(_OfModel):
    """One that reads documents: some fields of their metadata, then their content."""

    def __init__(
        self,
        model: _Named,
        model_class: str | None = None,
        *,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        **arguments: Any,
    ) -> None:
        _OfModel.__init__(self, model, model_class, **arguments)
        fields = list(meta_fields_to_embed or [])
        self._options |= {"meta_fields_to_embed": fields, "embedding_separator": embedding_separator}

    def _texts(self, documents: Iterable[Document]) -> list[str]:
        _refuse_others(documents)
        fields, separator = self._options["meta_fields_to_embed"], self._options["embedding_separator"]
        return [_text(document, fields, separator) for document in documents]


@component
class BGETextEmbedder(_OfModel):
    """An embedder of queries; of BGE-M3 the dense vectors.

    Args:
        model: a hub id, a folder, or an embedder that is open.
        model_class: the class, where the name does not say it; see `FlagAutoModel.from_finetuned`.
        **arguments: of the class, such as ``query_instruction_for_retrieval``.
    """

    _open = staticmethod(open_embedder)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector of a query as ``embedding``, made with the model's query instruction."""
        self.warm_up()
        return {"embedding": query_vector(self._opened, text)}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Do as `run`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.run, text)


@component
class BGEDocumentEmbedder(_OfDocuments):
    """An embedder of documents; of BGE-M3 the dense vectors.

    Args:
        model: a hub id, a folder, or an embedder that is open.
        model_class: the class, where the name does not say it; see `FlagAutoModel.from_finetuned`.
        meta_fields_to_embed: fields of the metadata that are read before the content.
        embedding_separator: what stands between them.
        **arguments: of the class.
    """

    _open = staticmethod(open_embedder)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their vectors, made with the model's passage instruction."""
        self.warm_up()
        vectors = passage_vectors(self._opened, self._texts(documents))
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Do as `run`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.run, documents)


@component
class BGESparseTextEmbedder(_OfModel):
    """Lexical weights of queries by BGE-M3.

    Args:
        model: a hub id, a folder, or a ``BGEM3FlagModel`` that is open.
        model_class: ``"encoder-only-m3"``.
        **arguments: of `BGEM3FlagModel`.
    """

    _open = staticmethod(open_m3)

    @component.output_types(sparse_embedding=SparseEmbedding)
    def run(self, text: str) -> dict[str, Any]:
        """Return token ids and weights of a query as ``sparse_embedding``."""
        self.warm_up()
        return {"sparse_embedding": SparseEmbedding(*query_weights(self._opened, text))}

    @component.output_types(sparse_embedding=SparseEmbedding)
    async def run_async(self, text: str) -> dict[str, Any]:
        """Do as `run`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.run, text)


@component
class BGESparseDocumentEmbedder(_OfDocuments):
    """Lexical weights of documents by BGE-M3.

    Args:
        model: a hub id, a folder, or a ``BGEM3FlagModel`` that is open.
        model_class: ``"encoder-only-m3"``.
        meta_fields_to_embed: fields of the metadata that are read before the content.
        embedding_separator: what stands between them.
        **arguments: of `BGEM3FlagModel`.
    """

    _open = staticmethod(open_m3)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their token ids and weights."""
        self.warm_up()
        rows = passage_weights(self._opened, self._texts(documents))
        pairs = zip(documents, rows, strict=True)
        return {"documents": [replace(document, sparse_embedding=SparseEmbedding(*row)) for document, row in pairs]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Do as `run`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.run, documents)


@component
class BGERanker(_OfDocuments):
    """A reranker: the best documents with its scores, best first.

    Args:
        model: a hub id, a folder, or a reranker that is open.
        model_class: the class, where the name does not say it; see `FlagAutoReranker.from_finetuned`.
        top_k: how many documents to keep.
        meta_fields_to_embed: fields of the metadata that are read before the content.
        embedding_separator: what stands between them.
        **arguments: of the class, such as ``normalize=True``.
    """

    _open = staticmethod(open_reranker)

    def __init__(
        self,
        model: _Named,
        model_class: str | None = None,
        *,
        top_k: int = 10,
        **arguments: Any,
    ) -> None:
        _OfDocuments.__init__(self, model, model_class, **arguments)
        self._options["top_k"] = _positive(top_k)

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Return copies of the best documents; of several with one id only the one that came with the better score.

        Raises:
            ValueError: ``top_k`` is not positive.
        """
        keep = _positive(self._options["top_k"] if top_k is None else top_k)
        self.warm_up()
        each = _once_each(documents)
        best = ranked(self._opened, query, self._texts(each), keep)
        return {"documents": [replace(each[position], score=score) for position, score in best]}

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Do as `run`, without blocking the event loop; cancelled, it ends."""
        return await awaited(self.run, query, documents, top_k)


def _positive(top_k: int) -> int:
    if top_k <= 0:
        raise ValueError(f"top_k={top_k} keeps no document; it is at least 1")
    return top_k


def _once_each(documents: Iterable[Document]) -> list[Document]:
    _refuse_others(documents)
    best: dict[str, Document] = {}
    for document in documents:
        known = best.get(document.id)
        if known is None or _score(document) > _score(known):
            best[document.id] = document
    return list(best.values())


def _refuse_others(documents: Iterable[Any]) -> None:
    for place, document in enumerate(documents):
        if not isinstance(document, Document):
            raise TypeError(f"documents[{place}] is {type(document).__name__}, not Document")


def _score(document: Document) -> float:
    return -math.inf if document.score is None else float(document.score)


def _text(document: Document, fields: Iterable[str], separator: str) -> str:
    values = [str(value) for field in fields if (value := document.meta.get(field)) is not None]
    return separator.join([*values, document.content or ""])
