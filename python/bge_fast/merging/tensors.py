"""Tensors where they are stored: read a block at a time, widened to compute with, narrowed to be written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from bge_fast import _core
from bge_fast.errors import ModelFormatError, UnsupportedModelError

# Numbers of a block: enough for the disk, and nothing in memory.
BLOCK = 1 << 20
_BF16 = "BF16"
FLOATS = ("F64", "F32", "F16", _BF16)
# Types as safetensors calls them, with numpy's; of bfloat16, which numpy does not have, the bits.
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    _BF16: "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_TORCH_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": _BF16,
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
Numbers = NDArray[Any]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor and where its numbers lie."""

    name: str
    kind: str
    """Its type, as safetensors calls it."""
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    """Elements from one to the next along each dimension, where they do not lie row by row."""
    file: Path
    offset: int
    length: int

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def blocks(self) -> Iterator[Numbers]:
        """Its numbers as they are stored, row by row."""
        size = number_type(self.kind).itemsize
        rows = None if self.strides is None else self._in_rows()
        for first in range(0, self.count, BLOCK):
            count = min(BLOCK, self.count - first)
            yield self._read(self.offset + first * size, count) if rows is None else rows[first : first + count]

    def _in_rows(self) -> Numbers:
        kind = number_type(self.kind)
        stored = self._read(self.offset, self.length // kind.itemsize)
        steps = [stride * kind.itemsize for stride in self.strides or ()]
        return np.ascontiguousarray(as_strided(stored, self.shape, steps)).ravel()

    def _read(self, start: int, count: int) -> Numbers:
        numbers: Numbers = np.fromfile(self.file, number_type(self.kind), count, offset=start)
        if len(numbers) < count:
            raise ModelFormatError(f"{self.file} was cut short while it was read")
        return numbers


def list_tensors(files: Sequence[Path]) -> list[list[StoredTensor]]:
    """The tensors of each file, of all shards of one checkpoint, in the order in which they lie there.

    Raises:
        ModelFormatError: a file is damaged, or a tensor is in two of them.
        UnsupportedModelError: a tensor of a type that is not copied here, such as 8-bit floats.
    """
    listed = _core.list_tensors([str(file) for file in files])
    return [[_stored(file, *one) for one in tensors] for file, tensors in zip(files, listed, strict=True)]


def _stored(
    file: Path, name: str, kind: str, shape: list[int], strides: list[int] | None, offset: int, length: int
) -> StoredTensor:
    kind = _TORCH_NAMES.get(kind, kind)
    if kind not in _TYPES:
        raise UnsupportedModelError(f"{file}: the tensor {name:.100} is of the type {kind}, which is not copied here")
    return StoredTensor(name, kind, tuple(shape), tuple(strides) if strides else None, file, offset, length)


def number_type(kind: str) -> np.dtype[Any]:
    """What numpy reads numbers of this kind as."""
    return np.dtype(_TYPES[kind])


def widened(stored: Numbers, kind: str) -> Numbers:
    """Numbers to compute with: float64 of float64, else float32."""
    if kind == _BF16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float64 if kind == "F64" else np.float32)


def narrowed(numbers: Numbers, kind: str, name: str) -> Numbers:
    """Numbers as they are stored, each rounded once to the nearest, of two equally near ones to the even.

    Raises:
        ModelFormatError: one of them is too large for that type.
    """
    with np.errstate(over="ignore"):
        stored = _rounded_bf16(numbers) if kind == _BF16 else numbers.astype(number_type(kind))
        again = widened(stored, kind)
    if not np.array_equal(np.isfinite(again), np.isfinite(numbers)):
        raise ModelFormatError(f"the tensor {name:.100} gets numbers that are too large for {kind}")
    return stored


def _rounded_bf16(numbers: Numbers) -> Numbers:
    bits = numbers.astype(np.float32).view(np.uint32)
    rounded = ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype(np.uint16)
    # Rounding up would make infinity of a number that is none, or lose what makes one.
    return np.where(np.isnan(numbers), np.uint16(0x7FC0), rounded)
