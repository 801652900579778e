"""Search by inner products with every vector."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_fast.errors import quoted
from bge_fast.search.hits import Hits, Selection

_MATRIX = 2
_DTYPES = tuple(map(np.dtype, (np.float32, np.float16, np.int8)))
# A product with fewer queries is slower than the selection gains by finding its scores in the cache.
QUERIES_AT_ONCE = 1024
BLOCK = 16384


def top_k(
    queries: Any,
    vectors: Any,
    k: int,
    *,
    block: int = BLOCK,
    exclude: Sequence[Iterable[int]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Hits:
    """Find for each query the ``k`` vectors with the largest inner products, by comparison with all of them.

    Memory beside ``vectors`` is that of one block and of the hits.

    Args:
        queries: ``(n, d)``, or one ``(d,)``.
        vectors: ``(m, d)`` in float32, float16 or int8, in memory, mapped, or the path of an ``.npy`` file.
        block: vectors that are compared at once.
        exclude: for each query the places of vectors that are no hits of it.
        progress: called after each block with the number of vectors that are compared.

    Raises:
        NumericsError: a score is not finite; names the query and the vector.

    Example:
        >>> scores, ids = top_k(model.encode_queries(queries), "passages.npy", 10)  # doctest: +SKIP
    """
    matrix = open_vectors(vectors)
    rows = _rows(queries, matrix.shape[1])
    best = Selection(len(rows), k, exclude)
    for start, scores, first in tiles(rows, matrix, block):
        best.offer(scores, start, first)
        if progress and first + len(scores) == len(rows):
            progress(min(start + block, len(matrix)))
    return best.all_hits()


def open_vectors(vectors: Any) -> NDArray[Any]:
    """A matrix as it is, or mapped from its file.

    Raises:
        ValueError: it is no matrix of a type that is searched; names the file.
    """
    name = "vectors"
    if isinstance(vectors, str | os.PathLike):
        name = os.fspath(vectors)
        try:
            vectors = np.load(name, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{name} is no .npy file of numbers: {error}") from error
    matrix = np.asarray(vectors)
    if matrix.ndim != _MATRIX:
        raise ValueError(f"{name} has the shape {matrix.shape}, but a matrix (vectors, dimension) is needed")
    if matrix.dtype not in _DTYPES:
        raise ValueError(f"{name} is {matrix.dtype}; give float32, float16 or int8, such as vectors.astype('float32')")
    return matrix


def tiles(
    queries: NDArray[np.float32], vectors: NDArray[Any], block: int
) -> Iterator[tuple[int, NDArray[np.float32], int]]:
    """Scores of some queries with a block of vectors, between the places of the first vector and the first query.

    The array is overwritten by the next tile.
    """
    if isinstance(block, bool) or not hasattr(block, "__index__") or block < 1:
        raise ValueError(f"block={quoted(block)} is not a whole number of at least 1")
    width = min(block, len(vectors))
    room = np.empty(width * min(QUERIES_AT_ONCE, len(queries)), np.float32)
    for start in range(0, len(vectors), block):
        part = np.asarray(vectors[start : start + block], np.float32).T
        for first in range(0, len(queries), QUERIES_AT_ONCE):
            some = queries[first : first + QUERIES_AT_ONCE]
            tile = room[: len(some) * part.shape[1]].reshape(len(some), part.shape[1])
            with np.errstate(over="ignore", invalid="ignore"):  # the selection refuses what is not finite
                np.matmul(some, part, out=tile)
            yield start, tile, first


def _rows(queries: Any, dimension: int) -> NDArray[np.float32]:
    rows = np.atleast_2d(np.asarray(queries, np.float32))
    if rows.ndim != _MATRIX or (rows.shape[1] != dimension and rows.size):
        raise ValueError(f"queries have the shape {rows.shape}, but vectors have {dimension} components")
    return np.ascontiguousarray(rows.reshape(-1, dimension) if not rows.size else rows)
