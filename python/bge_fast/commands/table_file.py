"""Vectors beside the columns that their texts came with, as Parquet, by pyarrow."""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from bge_fast.commands.foreign import InputError
from bge_fast.commands.parquet import arrow
from bge_fast.commands.texts import Text

_EMBEDDING = "embedding"
_ANY = "JSONL takes values of any type"


class ParquetSink:
    """A table with a column ``embedding`` of lists that all have the dimension's length. A chunk is a row group.

    Args:
        dtype: ``float32`` or ``float16``.
        schema: the other columns; ``None`` to tell them by the first texts.

    Raises:
        ImportError: pyarrow is not installed.
    """

    def __init__(self, file: BinaryIO, dtype: str, schema: Any) -> None:
        self._arrow = arrow()
        self._file, self._dtype = file, np.dtype(dtype)
        self._columns: dict[str, Any] | None = None
        if schema is not None:
            self._columns = {field.name: field.type for field in schema if field.name != _EMBEDDING}
        self._writer: Any = None
        self._empty: Any = None

    def write(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Append a row for each text."""
        vectors = np.ascontiguousarray(fields[_EMBEDDING], self._dtype)
        if not texts and self._writer is None:
            self._empty = vectors
            return
        if self._columns is None:
            self._columns = {name: None for text in texts for name in text.record if name != _EMBEDDING}
        self._check_names(texts, self._columns)
        arrays = {name: self._column(name, texts) for name in self._columns}
        self._columns = {name: array.type for name, array in arrays.items()}
        self._write_table({**arrays, _EMBEDDING: self._vectors(vectors)})

    def finish(self) -> None:
        """Write the table's end."""
        if self._writer is None and self._empty is not None:
            columns = {name: self._arrow.array([], kind) for name, kind in (self._columns or {}).items()}
            self._write_table({**columns, _EMBEDDING: self._vectors(self._empty)})
        self.close()

    def close(self) -> None:
        """Let go of the file, complete or not."""
        if self._writer is not None:
            try:
                self._writer.close()
            finally:
                self._writer.is_open = False  # else it closes once more when it is collected

    def _write_table(self, columns: Mapping[str, Any]) -> None:
        table = self._arrow.table(columns)
        if self._writer is None:
            self._writer = self._arrow.parquet.ParquetWriter(
                self._file, table.schema, use_dictionary=[name for name in columns if name != _EMBEDDING]
            )
        self._writer.write_table(table)

    def _vectors(self, vectors: np.ndarray[Any, Any]) -> Any:
        flat = self._arrow.array(vectors.ravel())
        return self._arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])

    def _check_names(self, texts: Sequence[Text], columns: Mapping[str, Any]) -> None:
        for text in texts:
            if more := text.record.keys() - columns.keys() - {_EMBEDDING}:
                raise InputError(
                    f"{text.place}: the field {min(more)!r:.80} is in none of the first texts, from which the "
                    f"columns are told. {_ANY}"
                )

    def _column(self, name: str, texts: Sequence[Text]) -> Any:
        values, kind = [text.record.get(name) for text in texts], (self._columns or {}).get(name)
        try:
            column = self._arrow.array(values, kind)
        except (self._arrow.ArrowException, OverflowError) as error:
            raise InputError(f"{self._culprit(name, kind, texts)}: {error}. {_ANY}") from error
        # pyarrow cuts the fraction off a number for a column of whole ones, and leaves out keys that it does not know.
        for text, value, kept in zip(texts, values, column.to_pylist(), strict=True):
            if not _same(value, kept):
                raise InputError(f"{text.place}: the field {name!r:.80} does not fit a column of {column.type}. {_ANY}")
        return column

    def _culprit(self, name: str, kind: Any, texts: Sequence[Text]) -> str:
        """The first text whose value is not of the column's type, with what is wrong."""
        kind = kind or self._arrow.array([texts[0].record.get(name)]).type
        for text in texts:
            try:
                self._arrow.array([text.record.get(name)], kind)
            except (self._arrow.ArrowException, OverflowError):
                return f"{text.place}: the field {name!r:.80} does not fit a column of {kind}"
        return f"{texts[0].place}: the field {name!r:.80} makes no column"


def _same(value: Any, kept: Any) -> bool:
    """Whether a column holds a value as it was; a key that is not there is null."""
    if isinstance(value, dict) and isinstance(kept, dict):
        return all(_same(value.get(key), kept.get(key)) for key in value.keys() | kept.keys())
    if isinstance(value, list) and isinstance(kept, list):
        return len(value) == len(kept) and all(map(_same, value, kept))
    return bool(value == kept) or repr(value) == repr(kept) == "nan"
