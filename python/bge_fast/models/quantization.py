"""Vectors in 8 bits or 1 bit a number, by the rules of sentence-transformers."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_fast.errors import warn
from bge_fast.models.inputs import one_of

Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
Quantized = np.ndarray[tuple[int, int], np.dtype[np.int8 | np.uint8 | np.float32]]
_TYPES = {"float32": np.float32, "int8": np.int8, "uint8": np.uint8, "binary": np.int8, "ubinary": np.uint8}
_MATRIX = 2
_STEPS, _BITS = 255, 8
# Fewer vectors give no ranges, or ones that others may well leave.
_FEWEST, _FEW = 2, 100
# Vectors that are converted at once, so that a memory map need not fit into memory.
_ROWS = 16_384


def quantize_embeddings(
    embeddings: ArrayLike,
    precision: Precision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> Quantized:
    """Quantize vectors, with the numbers of the function of this name in sentence-transformers 6.

    Args:
        embeddings: floats ``(n, dim)``; a memory map is read a few thousand rows at a time.
        precision: ``"int8"`` or ``"uint8"``: 255 steps from the least to the largest number of each component.
            ``"ubinary"``: a bit for each number, 1 where it is above zero, eight to a ``uint8``, the first one in its
            highest bit, and zeros where the last ones do not fill it; ``"binary"``: the same minus 128, as ``int8``.
            ``"float32"``: only converted.
        ranges: of 8 bits, the least and the largest number of each component, ``(2, dim)``. Queries and passages need
            the same ones; a number beyond them becomes the nearest.
        calibration_embeddings: vectors to take the ranges from; by default ``embeddings`` themselves.

    Returns:
        ``(n, dim)``, or ``(n, dim / 8)``, rounded up, where bits are packed.

    Raises:
        TypeError: vectors that are no floats.
        ValueError: an unknown precision; an array of another shape, or with a number that is not finite; one vector
            alone to take ranges from.
    """
    one_of("precision", precision, tuple(_TYPES))
    vectors = _matrix("embeddings", embeddings)
    rows, width = vectors.shape
    convert: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray
    if precision in ("binary", "ubinary"):
        width, convert = -(-width // _BITS), _packed if precision == "ubinary" else _packed_signed
    elif rows and precision in ("int8", "uint8"):
        convert = _Steps(_ranges(vectors, precision, ranges, calibration_embeddings), signed=precision == "int8")
    quantized = np.empty((rows, width), _TYPES[precision])
    for start in range(0, rows, _ROWS):
        block = vectors[start : start + _ROWS]
        if not (sound := np.isfinite(block).all(axis=1)).all():
            raise ValueError(f"embeddings[{start + int(sound.argmin())}] has a number that is not finite")
        quantized[start : start + _ROWS] = convert(block)
    return quantized


class _Steps:
    """Numbers of each component as steps from its least one."""

    def __init__(self, ranges: NDArray[Any], *, signed: bool) -> None:
        self._starts = ranges[0]
        steps = (ranges[1] - ranges[0]) / _STEPS
        # A component that never changes has no step, and needs none.
        self._steps = np.where(steps == 0, 1, steps)
        self._lowest = -128 if signed else 0

    def __call__(self, block: NDArray[Any]) -> NDArray[Any]:
        numbers = block.astype(np.float32) if block.dtype == np.float16 else block
        steps: NDArray[Any] = np.clip(np.floor((numbers - self._starts) / self._steps), 0, _STEPS) + self._lowest
        return steps


def _packed(block: NDArray[Any]) -> NDArray[np.uint8]:
    return np.packbits(block > 0, axis=1)


def _packed_signed(block: NDArray[Any]) -> NDArray[np.int16]:
    return _packed(block).astype(np.int16) - 128


def _ranges(vectors: NDArray[Any], precision: str, ranges: Any, calibration: Any) -> NDArray[Any]:
    if ranges is None:
        known = vectors if calibration is None else _matrix("calibration_embeddings", calibration)
        if len(known) < _FEWEST:
            raise ValueError(
                f"{precision} takes ranges from vectors, and there are only {len(known)}: pass ranges, or "
                "calibration_embeddings of many texts"
            )
        if calibration is None and len(known) < _FEW:
            warn(
                f"the ranges of {precision} are those of {len(known)} vectors alone: others will leave them. "
                "Pass ranges, or calibration_embeddings of many texts"
            )
        ranges = np.stack([known.min(axis=0), known.max(axis=0)])
        if not np.isfinite(ranges).all():
            name = "embeddings" if calibration is None else "calibration_embeddings"
            raise ValueError(f"{name} have a number that is not finite, so there are no ranges to take from them")
    found = _matrix("ranges", ranges)
    if found.shape != (2, vectors.shape[1]):
        raise ValueError(f"ranges have the shape {found.shape}, but these vectors need {(2, vectors.shape[1])}")
    if not np.isfinite(found).all():
        raise ValueError("ranges have a number that is not finite")
    if (turned := found[0] > found[1]).any():
        raise ValueError(f"ranges have a least number above the largest one, at component {int(turned.argmax())}")
    return found.astype(np.float32)


def _matrix(name: str, values: Any) -> NDArray[Any]:
    matrix = np.asarray(values)
    if matrix.ndim != _MATRIX:
        raise ValueError(f"{name} must have two dimensions, got the shape {matrix.shape}")
    if not np.issubdtype(matrix.dtype, np.floating):
        raise TypeError(f"{name} must be floats, got {matrix.dtype}")
    return matrix
