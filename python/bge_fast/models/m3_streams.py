"""BGE-M3's outputs for many texts, block by block."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Unpack

from bge_fast.models.keywords import M3Streaming, VectorsStreaming, refuse_unknown_keywords
from bge_fast.models.m3_async import AsyncM3
from bge_fast.models.results import M3Vectors
from bge_fast.models.shapes import M3Output
from bge_fast.models.streams import BLOCK, blocks_of


class M3Streams(AsyncM3):
    """``encode_iter`` and its relatives."""

    def encode_iter(
        self, sentences: Iterable[str], *, block_size: int = BLOCK, **kwargs: Unpack[M3Streaming]
    ) -> Iterator[M3Output]:
        """Encode texts block by block: any number of them, from a file or a database, in memory that does not grow.

        Texts are drawn in the caller's thread, at most two blocks ahead of the one that is given; while the caller
        works on a block the next one is encoded. Errors name a text by its place among all.

        Args:
            sentences: an iterable of ``str``, such as a generator. It is not read to its end first.
            block_size: texts of a block; the last one may have fewer. Multi-vectors take 4 kB a token: ask for
                less with long texts.
            **kwargs: ``batch_size``, ``max_length``, ``return_dense``, ``return_sparse``, ``return_colbert_vecs``,
                ``instruction`` and ``instruction_format``, as for ``encode``.

        Returns:
            An iterator of what ``encode`` gives for the texts of a block.

        Raises:
            TypeError, ValueError: an input that cannot be encoded; names its index. Blocks before it were given.
        """
        refuse_unknown_keywords("encode_iter", kwargs, M3Streaming)
        return blocks_of(partial(self.encode, **kwargs), sentences, block_size)

    def encode_corpus_iter(
        self, corpus: Iterable[str], *, block_size: int = BLOCK, **kwargs: Unpack[M3Streaming]
    ) -> Iterator[M3Output]:
        """Encode passages block by block, as ``encode_corpus`` does. Otherwise as `encode_iter`."""
        refuse_unknown_keywords("encode_corpus_iter", kwargs, M3Streaming)
        return blocks_of(partial(self.encode_corpus, **kwargs), corpus, block_size)

    def encode_vectors_iter(
        self, texts: Iterable[str], *, block_size: int = BLOCK, **kwargs: Unpack[VectorsStreaming]
    ) -> Iterator[M3Vectors]:
        """Encode passages into native batches block by block, as `encode_vectors` does. Otherwise as `encode_iter`."""
        refuse_unknown_keywords("encode_vectors_iter", kwargs, VectorsStreaming)
        return blocks_of(partial(self.encode_vectors, **kwargs), texts, block_size)
