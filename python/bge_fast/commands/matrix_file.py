"""A matrix in numpy's format, written row by row."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bge_fast.commands.texts import Text

# Rows that are narrowed at once.
_BLOCK = 4096
_LARGEST = 127


class NpySink:
    """A matrix in float32 or float16. Rows are appended; the header gets their number at the end.

    A file that an interrupted run wrote is gone on with.
    """

    def __init__(self, file: BinaryIO, dtype: str = "float32") -> None:
        self._file, self._dtype = file, np.dtype(dtype).newbyteorder("<")
        self._rows, self._dimension = 0, None
        if file.seekable() and file.seek(0, io.SEEK_END):
            self._rows, self._dimension = _shape(file, self._dtype.itemsize)
            file.seek(0, io.SEEK_END)

    def write(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Append the rows of ``embedding``."""
        vectors = fields["embedding"]
        if self._dimension is None:
            self._dimension = vectors.shape[1]
            self._write_header()
        self._file.write(np.ascontiguousarray(vectors, self._dtype).data)
        self._rows += len(texts)

    def finish(self) -> None:
        """Put the number of rows into the header."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        _write_header(self._file, self._dtype, self._rows, self._dimension or 0)


class Int8Sink(NpySink):
    """A matrix in int8, made of one in float32 whose largest component in all becomes 127."""

    def __init__(self, spool: BinaryIO) -> None:
        super().__init__(spool)

    def build(self, file: BinaryIO) -> None:
        """Write it. Scores of different rows compare as before, since one factor is for all of them."""
        largest = max((float(np.abs(block).max()) for block in self._blocks()), default=0.0)
        _write_header(file, np.dtype(np.int8), self._rows, self._dimension or 0)
        for block in self._blocks():
            file.write(np.rint(block * (_LARGEST / largest if largest else 0)).astype(np.int8).data)

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        width = self._dimension or 0
        self._file.seek(0)
        _shape(self._file, self._dtype.itemsize)
        for start in range(0, self._rows, _BLOCK):
            rows = min(_BLOCK, self._rows - start)
            read = self._file.read(rows * width * self._dtype.itemsize)
            yield np.frombuffer(read, self._dtype).reshape(rows, width)


def _shape(file: BinaryIO, itemsize: int) -> tuple[int, int]:
    """How many rows a file really has, and their width; leaves it where they begin."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    np.lib.format.read_magic(file)
    (_, width), _, _ = np.lib.format.read_array_header_1_0(file)
    return (size - file.tell()) // max(width * itemsize, 1), width


def _write_header(file: BinaryIO, dtype: np.dtype[Any], rows: int, width: int) -> None:
    # numpy pads the header so that it keeps its length when the first axis grows.
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, header)
