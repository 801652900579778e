"""Texts from files and stdin, one at a time, with the place each came from."""

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.commands.formats import DEFAULT_FIELD, Record, records
from bge_fast.commands.parquet import is_parquet, rows

STDIN = "-"
PARQUET = "parquet"
_GZIP = b"\x1f\x8b"
# Enough texts to sort by length, few enough to hold; long texts count by their characters.
CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 8 << 20


@dataclass(frozen=True)
class Text:
    """One text as it was read."""

    text: str
    record: dict[str, Any]
    """The object or row it is part of; for a plain line ``{"text": line}``."""
    line: int
    """Counted from 1; of a JSON array the number of the element."""
    place: str
    """For messages: file and line."""


class TextReader:
    """Iterates over the texts of files, in order. ``-`` and no file at all mean stdin; gzip is read as it is.

    Args:
        files: paths.
        field: the field or column that is the text; ``None`` for ``text``.
        form: one of `FORMATS` or ``parquet`` for every file; ``None`` to tell it by name and first line.
        only: whether nothing but the text is wanted of a row: of Parquet no other column is read then.

    Raises:
        InputError: a file cannot be read, or a line is not what it should be.
    """

    def __init__(
        self, files: Sequence[str], field: str | None = None, form: str | None = None, only: bool = False
    ) -> None:
        self._files = list(files) or [STDIN]
        self._field, self._form, self._only = field, form, only
        self._bytes_read = self._left = 0
        for file in self._files:
            _check_readable(file)
        if STDIN in self._files and sys.stdin.isatty():
            output.note("reading from the terminal, one text a line; Ctrl-D ends")
        sizes = [os.stat(file) if file != STDIN else None for file in self._files]
        regular = all(size and stat.S_ISREG(size.st_mode) for size in sizes)
        self._total_bytes = sum(size.st_size for size in sizes if size) if regular else None

    def expected(self, read: int) -> int | None:
        """How many texts there will be in all, after ``read`` of them: a guess by bytes, ``None`` for a pipe."""
        if self._left:
            return read + self._left
        if self._total_bytes is None or not self._bytes_read:
            return None
        return round(read * max(1, self._total_bytes / self._bytes_read))

    def __iter__(self) -> Iterator[Text]:
        self._bytes_read = 0
        for file in self._files:
            name = "stdin" if file == STDIN else file
            with _opened(file) as opened:
                for record in self._records(opened, name):
                    self._left = record.left
                    yield Text(
                        _field_of(record, self._field or DEFAULT_FIELD), record.fields, record.line, record.place
                    )

    def _records(self, file: BinaryIO, name: str) -> Iterator[Record]:
        if self._form == PARQUET or (self._form is None and is_parquet(file)):
            self._bytes_read += os.fstat(file.fileno()).st_size if self._total_bytes else 0
            return rows(file, name, self._field, self._only)
        return records(_unpacked(self._counted(file), name), name, self._form, self._field)

    def _counted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for raw in lines:
            self._bytes_read += len(raw)
            yield raw


def chunks(texts: Iterable[Text], most: int | Callable[[], int] | None = None) -> Iterator[list[Text]]:
    """Group texts into lists that are worth one call and small enough to hold.

    Args:
        most: texts of a chunk at most; or what is asked for that before each.
    """
    chunk: list[Text] = []
    characters = 0
    for text in texts:
        if not chunk:
            bound = (most() if callable(most) else most) or CHUNK_TEXTS
        chunk.append(text)
        characters += len(text.text)
        if len(chunk) >= bound or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _check_readable(file: str) -> None:
    if file == STDIN:
        if sys.stdin is None:
            raise InputError("stdin is closed; name a file of texts")
        return
    if not Path(file).exists():
        raise InputError(f"there is no file {file}")
    if Path(file).is_dir():
        raise InputError(f"{file} is a folder, not a file of texts")
    if not os.access(file, os.R_OK):
        raise InputError(f"{file} may not be read: permission denied")


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == STDIN else Path(file).open("rb")


class _Joined(io.RawIOBase):
    """Lines as the stream that they were read from."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._rest = lines, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._lines, b"")
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _unpacked(lines: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The lines of what a file holds in gzip, or its own."""
    first = next(lines, None)
    if first is None:
        return
    lines = chain([first], lines)
    if not first.startswith(_GZIP):
        yield from lines
        return
    try:
        with gzip.GzipFile(fileobj=io.BufferedReader(_Joined(lines))) as unpacked:
            yield from unpacked
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}: the gzip file is cut short or damaged: {error}") from error


def _field_of(record: Record, field: str) -> str:
    place = record.place
    if field not in record.fields:
        present = ", ".join(f"{one!r:.80}" for one in list(record.fields)[:8]) or "no fields"
        raise InputError(f"{place}: no field {field!r:.80}; the object has {present}. Name the right one with --field")
    text = record.fields[field]
    if not isinstance(text, str):
        raise InputError(f"{place}: field {field!r:.80} is {type(text).__name__}, not a string")
    check_unicode(text, f"{place}: field {field!r:.80}")
    return text


def check_unicode(text: str, what: str) -> None:
    """See that a text of JSON, where half a character can be written, is one of whole ones.

    Raises:
        InputError: says ``what`` it is.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} is not valid Unicode: lone surrogate at character {error.start}") from error
