"""Parquet as input, a thousand rows at a time, by pyarrow."""

import io
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, BinaryIO

from bge_fast.commands.foreign import InputError
from bge_fast.commands.formats import DEFAULT_FIELD, Record

_MAGIC = b"PAR1"
_ROWS = 1024
# What is read of a column at a time: otherwise all of a row group.
_BUFFER = 1 << 20


def is_parquet(file: BinaryIO) -> bool:
    """Whether a file begins and ends as Parquet does; a pipe never does, for it has no end to look at."""
    if not file.seekable():
        return False
    start = file.tell()
    first, size = file.read(len(_MAGIC)), file.seek(0, io.SEEK_END)
    file.seek(max(size - len(_MAGIC), 0))
    last = file.read()
    file.seek(start)
    return first == last == _MAGIC


def rows(file: BinaryIO, name: str, field: str | None, only: bool) -> Iterator[Record]:
    """The rows of a table, of which the text's column ``only`` is read where no other is wanted.

    Raises:
        ImportError: pyarrow is not installed.
        InputError: it is no Parquet, or has no column of this name.
    """
    pyarrow, wanted = arrow(), field or DEFAULT_FIELD
    try:
        table = opened(file)
        _check_names(table.schema_arrow.names, name, wanted, only)
        total, numbers = table.metadata.num_rows, count(1)
        for batch in table.iter_batches(_ROWS, columns=[wanted] if only else None, use_threads=False):
            for row, number in zip(batch.to_pylist(), numbers):  # noqa: B905 - numbers have no end
                yield Record(row, number, f"{name}: row {number}", total - number)
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name}: not Parquet that can be read: {error}") from error


def _check_names(names: Sequence[str], file: str, wanted: str, only: bool) -> None:
    """See that there is the text's column, and that a row keeps all that are read."""
    if wanted not in names:
        present = ", ".join(f"{one!r:.80}" for one in names[:8])
        raise InputError(f"{file}: no column {wanted!r:.80}; the table has {present}. Name the right one with --field")
    if twice := next((one for one in ([wanted] if only else names) if names.count(one) > 1), None):
        raise InputError(f"{file}: the table has the column {twice!r:.80} twice")


def schema_of(files: Sequence[str]) -> Any:
    """The columns of the first file, where all are Parquet; ``None`` otherwise."""
    schema = None
    for file in files:
        try:
            with open(file, "rb") as one:
                if not is_parquet(one):
                    return None
                schema = schema or opened(one).schema_arrow
        except (OSError, ValueError):  # of which whoever reads its rows tells
            return None
    return schema


def opened(file: BinaryIO) -> Any:
    """A table whose columns are read piece by piece.

    Raises:
        ImportError: pyarrow is not installed.
    """
    return arrow().parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)


def arrow() -> Any:
    """The package pyarrow, with ``parquet``.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow") from error
    return pyarrow
