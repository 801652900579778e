"""Texts from files and stdin, one at a time, with the place each came from."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bge_fast.commands import output
from bge_fast.errors import BGEFastError

STDIN = "-"
_JSONL_SUFFIXES = (".jsonl", ".ndjson")
_DEFAULT_FIELD = "text"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Enough texts to sort by length, few enough that the bar moves; long texts count by their characters.
CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 8 << 20


class InputError(BGEFastError, ValueError):
    """An input that cannot be read; names the file and the line."""


@dataclass(frozen=True)
class Text:
    """One text as it was read."""

    text: str
    record: dict[str, Any]
    """The JSON object it is part of; for a plain line ``{"text": line}``."""
    file: str
    line: int
    """Counted from 1."""

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"


class TextReader:
    """Iterates over the texts of files, in order. ``-`` and no file at all mean stdin.

    Args:
        files: paths. One that ends in ``.jsonl`` or ``.ndjson`` holds a JSON object a line.
        field: the field of the objects that is the text; when given, every file holds objects.

    Raises:
        InputError: a file cannot be read, or a line is not what it should be.
    """

    def __init__(self, files: Sequence[str], field: str | None = None) -> None:
        self._files = list(files) or [STDIN]
        self._field = field
        self.bytes_read = 0
        for file in self._files:
            _check_readable(file)
        if STDIN in self._files and sys.stdin.isatty():
            output.note("reading from the terminal, one text a line; Ctrl-D ends")

    @property
    def total_bytes(self) -> int | None:
        """Size of all files, or ``None`` where that is not known in advance."""
        if not all(Path(file).is_file() for file in self._files):
            return None
        return sum(Path(file).stat().st_size for file in self._files)

    def __iter__(self) -> Iterator[Text]:
        for file in self._files:
            as_json = self._field is not None or file.endswith(_JSONL_SUFFIXES)
            with _opened(file) as opened:
                yield from self._texts(opened, "stdin" if file == STDIN else file, as_json)

    def _texts(self, opened: BinaryIO, name: str, as_json: bool) -> Iterator[Text]:
        for number, raw in enumerate(opened, start=1):
            self.bytes_read += len(raw)
            place = f"{name}:{number}"
            line = _decoded(raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw, place)
            if not as_json:
                yield Text(line, {_DEFAULT_FIELD: line}, name, number)
            elif line.strip():
                record = _json_object(line, place)
                yield Text(_field_of(record, self._field or _DEFAULT_FIELD, place), record, name, number)


def chunks(texts: Iterable[Text], most: int | None = None) -> Iterator[list[Text]]:
    """Group texts into lists that are worth one call and small enough to hold; of at most ``most`` texts."""
    most = most or CHUNK_TEXTS
    chunk: list[Text] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text.text)
        if len(chunk) >= most or characters >= CHUNK_CHARACTERS:
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


def _decoded(raw: bytes, place: str) -> str:
    line = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1}. "
            "Convert the file first, for example with: iconv -f LATIN1 -t UTF-8"
        ) from error


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not JSON that can be read: {error}") from error
    if not isinstance(record, dict):
        raise InputError(f"{place}: expected a JSON object, found {type(record).__name__}")
    return record


def _field_of(record: dict[str, Any], field: str, place: str) -> str:
    if field not in record:
        present = ", ".join(map(repr, list(record)[:8])) or "no fields"
        raise InputError(f"{place}: no field {field!r}; the object has {present}. Name the right one with --field")
    text = record[field]
    if not isinstance(text, str):
        raise InputError(f"{place}: field {field!r} is {type(text).__name__}, not a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: field {field!r} is not valid Unicode: lone surrogate at character {error.start}"
        ) from error
    return text
