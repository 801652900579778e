"""The verbs of BGE-M3 for an event loop, which goes on while they wait."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack, overload

from bge_fast.models.keywords import Calling, M3Calling, M3Encoding, VectorsKeywords
from bge_fast.models.m3_scores import M3Scores
from bge_fast.models.results import M3Vectors
from bge_fast.models.shapes import M3Output, M3OutputOfOne, M3PairScores, M3PairScoresOfOne, Pair, Pairs, Texts
from bge_fast.runtime.background import awaited


class AsyncM3(M3Scores):
    """``await model.aencode(…)`` and its relatives.

    The whole call runs in a thread of its own, and joins others in the core. Cancelling the task that awaits it ends
    it at the latest after the batch that is running. Bars are shown only where they are asked for.
    """

    encode_queries: Callable[..., Any]
    encode_corpus: Callable[..., Any]

    @overload
    async def aencode_queries(  # type: ignore[overload-overlap]
        self,
        queries: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3OutputOfOne: ...
    @overload
    async def aencode_queries(
        self,
        queries: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3Output: ...
    async def aencode_queries(self, queries: Texts, *args: Any, **kwargs: Any) -> Any:
        """Encode queries as ``encode_queries`` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode_queries, queries, *args, **kwargs)

    @overload
    async def aencode_corpus(  # type: ignore[overload-overlap]
        self,
        corpus: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3OutputOfOne: ...
    @overload
    async def aencode_corpus(
        self,
        corpus: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3Output: ...
    async def aencode_corpus(self, corpus: Texts, *args: Any, **kwargs: Any) -> Any:
        """Encode passages as ``encode_corpus`` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode_corpus, corpus, *args, **kwargs)

    @overload
    async def aencode(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Encoding],
    ) -> M3OutputOfOne: ...
    @overload
    async def aencode(
        self,
        sentences: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Encoding],
    ) -> M3Output: ...
    async def aencode(self, sentences: Texts, *args: Any, **kwargs: Any) -> Any:
        """Encode texts as ``encode`` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode, sentences, *args, **kwargs)

    async def aencode_vectors(self, texts: Texts, **kwargs: Unpack[VectorsKeywords]) -> M3Vectors:
        """Encode into native batches as `encode_vectors` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode_vectors, texts, **kwargs)

    @overload
    async def acompute_score(
        self,
        sentence_pairs: Pair,
        batch_size: int | None = ...,
        max_query_length: int | None = ...,
        max_passage_length: int | None = ...,
        weights_for_different_modes: Sequence[float] | None = ...,
        **kwargs: Unpack[Calling],
    ) -> M3PairScoresOfOne: ...
    @overload
    async def acompute_score(
        self,
        sentence_pairs: Pairs,
        batch_size: int | None = ...,
        max_query_length: int | None = ...,
        max_passage_length: int | None = ...,
        weights_for_different_modes: Sequence[float] | None = ...,
        **kwargs: Unpack[Calling],
    ) -> M3PairScores: ...
    async def acompute_score(self, sentence_pairs: Pair | Pairs, *args: Any, **kwargs: Any) -> Any:
        """Score pairs as `compute_score` does, with its arguments, while the event loop goes on."""
        return await awaited(self.compute_score, sentence_pairs, *args, **kwargs)
