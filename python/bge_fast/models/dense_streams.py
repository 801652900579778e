"""Dense vectors of many texts, block by block: as an iterator, or into an array of the caller's."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, Unpack

from bge_fast.models.dense_async import AsyncDense
from bge_fast.models.dense_call import encoded, width
from bge_fast.models.keywords import Streaming, refuse_unknown_keywords
from bge_fast.models.progress import progress_bar
from bge_fast.models.shapes import Matrix, Out
from bge_fast.models.streams import BLOCK, blocks_of, check_out, fill
from bge_fast.opening.engine import Engine


class DenseStreams(AsyncDense):
    """``encode_iter`` and its relative; what stands behind ``out=``."""

    def encode_iter(
        self,
        sentences: Iterable[str],
        batch_size: int | None = None,
        max_length: int | None = None,
        *,
        block_size: int = BLOCK,
        **kwargs: Unpack[Streaming],
    ) -> Iterator[Matrix]:
        """Encode texts block by block: any number of them, from a file or a database, in memory that does not grow.

        Texts are drawn in the caller's thread, at most two blocks ahead of the one that is given; while the caller
        works on a block the next one is encoded. Errors name a text by its place among all.

        Args:
            sentences: an iterable of ``str``, such as a generator. It is not read to its end first.
            batch_size: as for ``encode``.
            max_length: as for ``encode``.
            block_size: texts of a block; the last one may have fewer.
            **kwargs: ``instruction`` and ``instruction_format``, as for ``encode``.

        Returns:
            An iterator of float32 ``(block_size, dim)``, in the order of the texts.

        Raises:
            TypeError, ValueError: an input that cannot be encoded; names its index. Blocks before it were given.
        """
        refuse_unknown_keywords("encode_iter", kwargs, Streaming)
        return self._streamed(self.encode, sentences, block_size, batch_size, max_length, kwargs)

    def encode_corpus_iter(
        self,
        corpus: Iterable[str],
        batch_size: int | None = None,
        max_length: int | None = None,
        *,
        block_size: int = BLOCK,
    ) -> Iterator[Matrix]:
        """Encode passages block by block, as ``encode_corpus`` does. Otherwise as `encode_iter`."""
        return self._streamed(self.encode_corpus, corpus, block_size, batch_size, max_length, {})

    def _streamed(
        self,
        verb: Callable[..., Any],
        texts: Iterable[str],
        block_size: int,
        batch_size: int | None,
        max_length: int | None,
        kwargs: Any,
    ) -> Iterator[Matrix]:
        encode = partial(verb, batch_size=batch_size, max_length=max_length, convert_to_numpy=True, **kwargs)
        return blocks_of(encode, texts, block_size)

    def _encode_into(
        self, out: Out, texts: list[str] | None, engine: Engine, options: dict[str, Any], show: bool | None
    ) -> Out:
        """Write the vectors of texts into an array of the caller's; of one bare ``str`` there are none."""
        if texts is None:
            raise TypeError("out takes the vectors of many texts; for one pass [text], and an array of one row")
        check_out(out, len(texts), width(engine, options))

        def encode(block: list[str]) -> tuple[Matrix, int]:
            with progress_bar(len(block), False) as progress:
                return encoded(engine, block, options, progress)

        truncated, written = 0, SimpleNamespace(done=0)
        with progress_bar(len(texts), show, written):
            for vectors, cut in blocks_of(encode, texts):
                written.done = fill(out, written.done, vectors)
                truncated += cut
        self._warn_about_truncation(truncated, len(texts), options["max_length"])
        return out
