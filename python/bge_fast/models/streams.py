"""Results block by block: of texts that are drawn while others are encoded, or into an array of the caller's."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from bge_fast.errors import NumericsError, quoted
from bge_fast.models.inputs import to_stream, whole_number
from bge_fast.runtime.background import Background

R = TypeVar("R")
BLOCK = 2048
"""Texts of a block by default. Two blocks are drawn before the first result is there."""


def blocks_of(encode: Callable[[list[Any]], R], texts: Any, size: Any = BLOCK) -> Iterator[R]:
    """What ``encode`` gives for each block of ``size`` texts, in order; the next block is encoded meanwhile.

    Raises:
        TypeError, ValueError: at once: no iterable of texts, or no size.
    """
    return _results(encode, _blocks(to_stream(texts), whole_number("block_size", size, 1)))


def _results(encode: Callable[[list[Any]], R], blocks: Iterator[list[Any]]) -> Iterator[R]:
    running: deque[tuple[int, Background[R]]] = deque()
    start = 0
    try:
        for block in blocks:
            running.append((start, Background(partial(encode, block))))
            start += len(block)
            if len(running) > 1:
                yield _result(*running[0])
                running.popleft()
        while running:
            yield _result(*running[0])
            running.popleft()
    finally:
        for _, call in running:
            call.stop()


def _blocks(texts: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while block := list(islice(texts, size)):
        yield block


def _result(start: int, call: Background[R]) -> R:
    try:
        return call.result()
    except (TypeError, ValueError, NumericsError) as error:
        if type(error) not in (TypeError, ValueError, NumericsError):
            raise
        of_all = re.sub(r"texts\[(\d+)\]", lambda found: f"texts[{start + int(found[1])}]", str(error))
        raise type(error)(of_all) from error


def check_out(out: Any, texts: int, width: int) -> None:
    """See that an array of the caller's takes the vectors of so many texts.

    Raises:
        TypeError: no array of float32 or float16.
        ValueError: of another shape, or not to be written to.
    """
    if not isinstance(out, np.ndarray) or out.dtype not in (np.float32, np.float16):
        what = f"an array of {out.dtype}" if isinstance(out, np.ndarray) else quoted(out)
        raise TypeError(f"out must be a numpy array of float32 or float16, got {what}")
    if out.shape != (texts, width):
        raise ValueError(f"out has the shape {out.shape}, but the vectors of these texts have {(texts, width)}")
    if not out.flags.writeable:
        raise ValueError("out cannot be written to; open a memory map with mode 'r+' or 'w+'")


def fill(out: Any, row: int, vectors: Any) -> int:
    """Write vectors from a row on; gives the row behind them.

    Raises:
        NumericsError: a number that float16 does not hold; names the text.
    """
    end = row + len(vectors)
    with np.errstate(over="ignore"):
        out[row:end] = vectors
    if out.dtype == np.float16 and not (fits := np.isfinite(out[row:end]).all(axis=1)).all():
        raise NumericsError(f"float16 does not hold the vector of texts[{row + int(fits.argmin())}]; use float32")
    return end
