"""LlamaIndex: embeddings, sparse embeddings and a reranker. What is awaited leaves the event loop free."""

import os
from typing import Any, ClassVar

from bge_fast import AbsEmbedder, AbsReranker, BGEM3FlagModel
from bge_fast.integrations.opening import described, open_embedder, open_m3, open_reranker
from bge_fast.integrations.plain import passage_vectors, passage_weights, query_vector, query_weights, ranked
from bge_fast.runtime.background import awaited

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
    from pydantic import BaseModel, Field, PrivateAttr, computed_field
except ImportError as error:
    raise ImportError(
        "bge_fast.integrations.llama_index needs llama-index-core: pip install llama-index-core"
    ) from error

_dispatcher = get_dispatcher(__name__)
_TEXTS_OF_A_CALL = 256


class _OfModel(BaseModel):
    """What keeps a model: dictionaries have what opens an equal one, pickles the model, which opens at first use."""

    _named: ClassVar[str] = "model_name"
    """The first parameter."""
    _model: Any = PrivateAttr()

    @computed_field(repr=False, description="The model's class, as model_class= names it.")
    def model_class(self) -> str:
        return str(described(self._model)["model_class"])

    @computed_field(repr=False, description="Arguments of the model's class.")
    def model_arguments(self) -> dict[str, Any]:
        return dict(described(self._model)["arguments"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        model = state["__pydantic_private__"]["_model"]
        self.__init__(**{**state["__dict__"], self._named: model})  # type: ignore[misc]


class BGEEmbedding(_OfModel, BaseEmbedding):
    """An embedder; of BGE-M3 its dense vectors.

    Args:
        model_name: a hub id, a folder, or an embedder that is open.
        model_class: the class, where the name does not say it; see `FlagAutoModel.from_finetuned`.
        model_arguments: arguments of the class, as in ``to_dict()``.
        embed_batch_size: texts of one call, 1 to 2,048; the model makes batches of its own of them.
        callback_manager, num_workers, embeddings_cache, rate_limiter: LlamaIndex's.
        **arguments: of the class, such as ``query_instruction_for_retrieval``.
    """

    def __init__(
        self,
        model_name: str | os.PathLike[str] | AbsEmbedder,
        *,
        model_class: str | None = None,
        model_arguments: dict[str, Any] | None = None,
        embed_batch_size: int = _TEXTS_OF_A_CALL,
        callback_manager: CallbackManager | None = None,
        num_workers: int | None = None,
        embeddings_cache: Any = None,
        rate_limiter: Any = None,
        **arguments: Any,
    ) -> None:
        model = open_embedder(model_name, model_class, **(model_arguments or {}), **arguments)
        super().__init__(
            model_name=model.model_name_or_path,
            embed_batch_size=embed_batch_size,
            callback_manager=callback_manager or CallbackManager([]),
            num_workers=num_workers,
            embeddings_cache=embeddings_cache,
            rate_limiter=rate_limiter,
        )
        self._model = model

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in dictionaries."""
        return "BGEEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return query_vector(self._model, query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return passage_vectors(self._model, [text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return passage_vectors(self._model, texts)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await awaited(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await awaited(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await awaited(self._get_text_embeddings, texts)


class BGESparseEmbedding(_OfModel, BaseSparseEmbedding):
    """Lexical weights of BGE-M3: of each text a dict from token id to weight.

    Args:
        model_name: a hub id, a folder, or a ``BGEM3FlagModel`` that is open, as dense vectors may come of the same.
        model_class: ``"encoder-only-m3"``, as in ``to_dict()``.
        model_arguments: arguments of `BGEM3FlagModel`, as in ``to_dict()``.
        embed_batch_size: texts of one call, 1 to 2,048; the model makes batches of its own of them.
        num_workers: LlamaIndex's.
        **arguments: of `BGEM3FlagModel`.
    """

    def __init__(
        self,
        model_name: str | os.PathLike[str] | BGEM3FlagModel,
        *,
        model_class: str | None = None,
        model_arguments: dict[str, Any] | None = None,
        embed_batch_size: int = _TEXTS_OF_A_CALL,
        num_workers: int | None = None,
        **arguments: Any,
    ) -> None:
        model = open_m3(model_name, model_class, **(model_arguments or {}), **arguments)
        super().__init__(
            model_name=model.model_name_or_path, embed_batch_size=embed_batch_size, num_workers=num_workers
        )
        self._model = model

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in dictionaries."""
        return "BGESparseEmbedding"

    def similarity(self, embedding1: dict[int, float], embedding2: dict[int, float]) -> float:
        """Return the model's lexical score: the sum of shared ids' products, not a cosine."""
        one, other = ({str(id_): weight for id_, weight in each.items()} for each in (embedding1, embedding2))
        return float(self._model.compute_lexical_matching_score(one, other))

    def _get_query_embedding(self, query: str) -> dict[int, float]:
        return _weights_by_id(query_weights(self._model, query))

    def _get_text_embedding(self, text: str) -> dict[int, float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return [_weights_by_id(row) for row in passage_weights(self._model, texts)]

    async def _aget_query_embedding(self, query: str) -> dict[int, float]:
        return await awaited(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> dict[int, float]:
        return await awaited(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return await awaited(self._get_text_embeddings, texts)


class BGERerank(_OfModel, BaseNodePostprocessor):
    """A reranker: the best nodes with its scores, best first. The nodes that come in are not changed.

    Args:
        model: a hub id, a folder, or a reranker that is open.
        top_n: how many nodes to keep.
        model_class: the class, where the name does not say it; see `FlagAutoReranker.from_finetuned`.
        model_arguments: arguments of the class, as in ``to_dict()``.
        callback_manager: LlamaIndex's.
        **arguments: of the class, such as ``normalize=True``.
    """

    _named: ClassVar[str] = "model"
    model: str = Field(description="The reranker's name.")
    top_n: int = Field(description="How many nodes to keep.", ge=1)

    def __init__(
        self,
        model: str | os.PathLike[str] | AbsReranker,
        *,
        top_n: int = 2,
        model_class: str | None = None,
        model_arguments: dict[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
        **arguments: Any,
    ) -> None:
        opened = open_reranker(model, model_class, **(model_arguments or {}), **arguments)
        super().__init__(
            model=opened.model_name_or_path, top_n=top_n, callback_manager=callback_manager or CallbackManager([])
        )
        self._model = opened

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in dictionaries."""
        return "BGERerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("there is no query to rerank for: pass query_bundle= or query_str=")
        query = query_bundle.query_str
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=self.model))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
            best = ranked(self._model, query, texts, self.top_n)
            reranked = [nodes[position].model_copy(update={"score": score}) for position, score in best]
            event.on_end(payload={EventPayload.NODES: reranked})
        _dispatcher.event(ReRankEndEvent(nodes=reranked))
        return reranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await awaited(self._postprocess_nodes, nodes, query_bundle)


def _weights_by_id(weights: tuple[list[int], list[float]]) -> dict[int, float]:
    return dict(zip(*weights, strict=True))
