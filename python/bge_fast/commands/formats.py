"""How a file holds its texts: told by its name and its first line, and read record by record."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from bge_fast.commands.foreign import InputError, refuse_what_is_no_text

DEFAULT_FIELD = "text"
FORMATS = ("lines", "jsonl", "json", "csv", "tsv")
_BY_SUFFIX = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "tsv": "tsv", "tab": "tsv"}
_DELIMITERS = {"csv": (",", ";", "\t", "|"), "tsv": ("\t",)}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK_LINES = 100
_JSON_BEGINS = re.compile(r'(\{\s*(["}]|$))|(\[\s*(["{\[\]]|$))')
_USUAL_COLUMNS = frozenset(("text", "id", "_id", "title", "body", "content", "passage", "query", "question", "label"))
_NAME = re.compile(r"[A-Za-z_][\w-]*")
# A cell may hold a whole book; the module's own bound is 128 kB.
csv.field_size_limit(2**31 - 1)


class Record(NamedTuple):
    """One record of a file: a plain line is ``{"text": line}``."""

    fields: dict[str, Any]
    line: int
    """Counted from 1; of a JSON array the number of the element."""
    place: str
    """For messages: file and line."""
    left: int = 0
    """Of an array, the elements that follow."""


def records(lines: Iterator[bytes], name: str, form: str | None, field: str | None) -> Iterator[Record]:
    """Read a file of any of `FORMATS`; ``form`` is one that the user named.

    Raises:
        InputError: not text, or not what its format should be; names the place and the way out.
    """
    head: list[bytes] = []
    for raw in lines:
        head.append(raw if head else raw.removeprefix(_BYTE_ORDER_MARK))
        if head[-1].strip() or len(head) == _BLANK_LINES:
            break
    first = head[-1] if head else b""
    refuse_what_is_no_text(first, name, named=form is not None)
    reader = _READERS[form or _format_of(name, decoded(first, f"{name}:{len(head)}").strip(), field)]
    yield from reader(chain(head, lines), name, field)


def _format_of(name: str, first: str, field: str | None) -> str:
    by_suffix = _BY_SUFFIX.get(name.lower().removesuffix(".gz").rpartition(".")[2])
    if by_suffix:
        return by_suffix
    if _JSON_BEGINS.match(first):
        return "json"
    if field is not None:
        return "csv"
    if any(_is_header(first.split(delimiter)) for delimiter in _DELIMITERS["csv"]):
        raise InputError(
            f"{name}:1: {first[:80]!r} looks like the header of a table. Say what it is: --format csv, tsv or lines"
        )
    return "lines"


def _is_header(cells: list[str]) -> bool:
    names = [cell.strip().strip('"').lower() for cell in cells]
    return len(names) > 1 and not _USUAL_COLUMNS.isdisjoint(names) and all(map(_NAME.fullmatch, names))


def decoded(raw: bytes, place: str) -> str:
    """A line as text, with its end.

    Raises:
        InputError: not UTF-8; names the byte.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start + 1}. "
            "Convert the file first, for example with: iconv -f LATIN1 -t UTF-8"
        ) from error


def _lines(lines: Iterator[bytes], name: str, field: str | None) -> Iterator[Record]:
    if field is not None:
        raise InputError(f"{name} holds plain lines, which have no field {field!r:.80}; leave --field out")
    for number, raw in enumerate(lines, start=1):
        line = decoded(raw, f"{name}:{number}").removesuffix("\n").removesuffix("\r")
        yield Record({DEFAULT_FIELD: line}, number, f"{name}:{number}")


def _json_lines(lines: Iterator[bytes], name: str, _field: str | None) -> Iterator[Record]:
    for number, raw in enumerate(lines, start=1):
        place = f"{name}:{number}"
        if (line := decoded(raw, place)).strip():
            yield Record(_object(parsed(line, place), place), number, place)


def _json(lines: Iterator[bytes], name: str, field: str | None) -> Iterator[Record]:
    """An array, or an object a line."""
    head = list(_up_to_text(lines))
    if head and head[-1].lstrip()[:1] != b"[" and not _opens_only(head[-1]):
        yield from _json_lines(chain(head, lines), name, field)
        return
    whole = b"".join(chain(head, lines))
    value = parsed(decoded(whole, name), name) if whole.strip() else []
    if isinstance(value, dict):
        keys = ", ".join(map(repr, list(value)[:8]))
        raise InputError(
            f"{name} is one JSON object ({keys:.200}), not an array or an object a line. "
            f"Write its records to a file of their own, for example with: jq -c '.KEY[]' {name} > records.jsonl"
        )
    for number, one in enumerate(value, start=1):
        place = f"{name}: element {number}"
        of_text = isinstance(one, str) and field is None
        yield Record({DEFAULT_FIELD: one} if of_text else _object(one, place), number, place, len(value) - number)


def _up_to_text(lines: Iterator[bytes]) -> Iterator[bytes]:
    for raw in lines:
        yield raw
        if raw.strip():
            return


def _opens_only(line: bytes) -> bool:
    """Whether a line begins an object that goes on below, as indented files have it."""
    return re.fullmatch(rb"\s*\{\s*", line) is not None


def _table(lines: Iterator[bytes], name: str, field: str | None, form: str) -> Iterator[Record]:
    written = (decoded(raw, f"{name}:{number}") for number, raw in enumerate(lines, start=1))
    header = next((line for line in written if line.strip()), None)
    if header is None:
        return
    wanted = field or DEFAULT_FIELD
    rows = csv.reader(chain([header], written), delimiter=_delimiter(header, wanted, form), strict=True)
    try:
        columns = _columns(next(rows), name, wanted)
        start = rows.line_num + 1
        for row in rows:
            if row:
                yield Record(_cells(columns, row, f"{name}:{start}"), start, f"{name}:{start}")
            start = rows.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}:{rows.line_num}: not {form.upper()} that can be read: {error}") from error


def _delimiter(header: str, field: str, form: str) -> str:
    """The one that gives a column of this name; else the one that gives most columns."""
    columns = {one: next(csv.reader([header], delimiter=one), []) for one in _DELIMITERS[form]}
    return max(columns, key=lambda one: (field in columns[one], len(columns[one])))


def _columns(names: list[str], file: str, wanted: str) -> list[str]:
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise InputError(f"{file}:1: the header names the column {twice!r:.80} twice")
    if wanted not in names:
        present = ", ".join(f"{one!r:.80}" for one in names[:8])
        raise InputError(
            f"{file}:1: no column {wanted!r:.80}; the header has {present}. Name the right one with --field"
        )
    return names


def _cells(columns: list[str], row: list[str], place: str) -> dict[str, Any]:
    if len(row) != len(columns):
        raise InputError(f"{place}: {len(row)} cells in a table of {len(columns)} columns")
    return dict(zip(columns, row, strict=True))


def parsed(text: str, place: str) -> Any:
    """A value of JSON.

    Raises:
        InputError: not JSON; names the place.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise InputError(
            f"{place}: not JSON: {error.msg} at {line}column {error.colno}. Plain lines are read with --format lines"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not JSON that can be read: {error}") from error


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected a JSON object, found {type(value).__name__}")
    return value


_READERS: dict[str, Callable[[Iterator[bytes], str, str | None], Iterator[Record]]] = {
    "lines": _lines,
    "jsonl": _json_lines,
    "json": _json,
    "csv": lambda lines, name, field: _table(lines, name, field, "csv"),
    "tsv": lambda lines, name, field: _table(lines, name, field, "tsv"),
}
