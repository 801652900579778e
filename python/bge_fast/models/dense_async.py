"""The verbs of dense embedders for an event loop, which goes on while they wait."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from bge_fast.models.embedder import AbsEmbedder
from bge_fast.models.keywords import Calling, Encoding
from bge_fast.models.shapes import Matrix, Numpy, Texts, Vector
from bge_fast.runtime.background import awaited

if TYPE_CHECKING:
    from torch import Tensor


class AsyncDense(AbsEmbedder):
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
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Vector: ...
    @overload
    async def aencode_queries(
        self,
        queries: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Matrix: ...
    @overload
    async def aencode_queries(
        self,
        queries: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Literal[False] = ...,
        **kwargs: Unpack[Calling],
    ) -> "Tensor": ...
    @overload
    async def aencode_queries(
        self,
        queries: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: bool | None = ...,
        **kwargs: Unpack[Calling],
    ) -> "Vector | Matrix | Tensor": ...
    async def aencode_queries(self, queries: Texts, *args: Any, **kwargs: Any) -> Any:
        """Encode queries as ``encode_queries`` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode_queries, queries, *args, **kwargs)

    @overload
    async def aencode_corpus(  # type: ignore[overload-overlap]
        self,
        corpus: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Vector: ...
    @overload
    async def aencode_corpus(
        self,
        corpus: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Matrix: ...
    @overload
    async def aencode_corpus(
        self,
        corpus: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Literal[False] = ...,
        **kwargs: Unpack[Calling],
    ) -> "Tensor": ...
    @overload
    async def aencode_corpus(
        self,
        corpus: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: bool | None = ...,
        **kwargs: Unpack[Calling],
    ) -> "Vector | Matrix | Tensor": ...
    async def aencode_corpus(self, corpus: Texts, *args: Any, **kwargs: Any) -> Any:
        """Encode passages as ``encode_corpus`` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode_corpus, corpus, *args, **kwargs)

    @overload
    async def aencode(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Encoding],
    ) -> Vector: ...
    @overload
    async def aencode(
        self,
        sentences: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Encoding],
    ) -> Matrix: ...
    @overload
    async def aencode(
        self,
        sentences: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Literal[False] = ...,
        **kwargs: Unpack[Encoding],
    ) -> "Tensor": ...
    @overload
    async def aencode(
        self,
        sentences: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: bool | None = ...,
        **kwargs: Unpack[Encoding],
    ) -> "Vector | Matrix | Tensor": ...
    async def aencode(self, sentences: Texts, *args: Any, **kwargs: Any) -> Any:
        """Encode texts as ``encode`` does, with its arguments, while the event loop goes on."""
        return await awaited(self.encode, sentences, *args, **kwargs)
