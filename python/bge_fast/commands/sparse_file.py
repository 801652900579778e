"""Lexical weights as a sparse matrix, in the form that ``scipy.sparse.load_npz`` reads; written without scipy."""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_fast.commands.texts import Text
from bge_fast.models.results import SparseBatch

_MAX_INT32 = 2**31 - 1


class _Block(NamedTuple):
    """What one chunk of texts was written as."""

    lengths: NDArray[np.int32]
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    dim: int


class NpzSink:
    """A matrix in compressed rows, ``(texts, vocabulary)``. Chunks go into a spool, of which the file is made."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        spool.seek(0, io.SEEK_END)

    def write(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Append the rows of ``lexical_weights``, a `SparseBatch`."""
        batch: SparseBatch = fields["lexical_weights"]
        lengths = np.diff(batch.offsets).astype("<i4")
        order = np.lexsort((batch.ids, np.repeat(np.arange(len(batch)), lengths)))
        self._spool.write(np.array([len(lengths), len(order), batch.dim], "<i8").data)
        for array, dtype in ((lengths, "<i4"), (batch.ids[order], "<i4"), (batch.weights[order], "<f4")):
            self._spool.write(np.ascontiguousarray(array, dtype).data)

    def finish(self) -> None:
        """Nothing is left to do before `build`."""

    def build(self, file: BinaryIO) -> None:
        """Write the matrix."""
        rows = entries = dim = 0
        for block in self._blocks():
            rows, entries, dim = rows + len(block.lengths), entries + len(block.ids), block.dim
        offset = "<i8" if entries > _MAX_INT32 else "<i4"
        with zipfile.ZipFile(file, "w") as packed:
            self._array(packed, "data", "<f4", entries, lambda block: block.weights)
            self._array(packed, "indices", "<i4", entries, lambda block: block.ids)
            self._offsets(packed, offset, rows)
            for name, value in (("shape", (rows, dim)), ("format", b"csr"), ("_is_array", True)):
                with _member(packed, name) as member:
                    np.lib.format.write_array(member, np.array(value))

    def _array(
        self, packed: zipfile.ZipFile, name: str, dtype: str, count: int, of: Callable[[_Block], NDArray[Any]]
    ) -> None:
        with _member(packed, name) as member:
            _write_header(member, dtype, count)
            for block in self._blocks():
                member.write(of(block).data)

    def _offsets(self, packed: zipfile.ZipFile, dtype: str, rows: int) -> None:
        with _member(packed, "indptr") as member:
            _write_header(member, dtype, rows + 1)
            member.write(np.zeros(1, dtype).data)
            last = 0
            for block in self._blocks():
                ends = last + np.cumsum(block.lengths, dtype=np.int64)
                member.write(ends.astype(dtype).data)
                last = int(ends[-1]) if len(ends) else last

    def _blocks(self) -> Iterator[_Block]:
        self._spool.seek(0)
        while head := self._spool.read(24):
            rows, entries, dim = np.frombuffer(head, "<i8").tolist()
            lengths, ids, weights = (
                np.frombuffer(self._spool.read(4 * count), dtype)
                for count, dtype in ((rows, "<i4"), (entries, "<i4"), (entries, "<f4"))
            )
            yield _Block(lengths, ids, weights, dim)


def _member(packed: zipfile.ZipFile, name: str) -> Any:
    # Of no date, so that the same weights give the same file.
    return packed.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _write_header(file: BinaryIO, dtype: str, count: int) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": (count,)})
