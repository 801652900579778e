"""Where commands write: results to stdout, everything else to stderr, both as UTF-8."""

import contextlib
import io
import json
import os
import re
import sys
import traceback
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PROGRAM = "bge-fast"
# Paths are shorter; what a caller passed for a name may be a whole book.
_KEPT, _LONG_WORD, _LONG_LINE = 80, 256, 2000


def set_up() -> None:
    """Write UTF-8 whatever the locale says, and into nothing where the stream was closed before the start."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def result(line: str) -> None:
    """Write one line of the result."""
    sys.stdout.write(line + "\n")


def flush() -> None:
    """Hand what was written so far to the reader of the result."""
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line for the person at the terminal."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{PROGRAM}: {shortened(' '.join(text.split()))}\n")


def shortened(text: str) -> str:
    """A message without the bulk of what it repeats: words, and all of it, are cut where they are very long."""
    text = re.sub(rf"(\S{{{_KEPT}}})\S{{{_LONG_WORD - _KEPT},}}", r"\1…", text)
    return text if len(text) <= _LONG_LINE else f"{text[:_LONG_LINE]}…"


def show_traceback() -> None:
    """Write the traceback of the exception that is being handled."""
    sys.stderr.write(traceback.format_exc())


def discard_results() -> None:
    """Nobody reads the result any more: keep the interpreter from complaining about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def to_json(value: Any) -> str:
    """Write a value as one line of JSON; times and exact decimals, which Parquet has, as strings.

    Raises:
        TypeError: it has no form in JSON, such as bytes.
    """
    return json.dumps(value, ensure_ascii=False, default=_as_string)


def _as_string(value: Any) -> str:
    from datetime import date, time, timedelta
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, date | time | timedelta | Decimal | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of columns, each beginning at one place; every row has as many."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def fit(text: str, width: int) -> str:
    """One line of ``text``, at most ``width`` columns of a terminal wide, without what a terminal would obey."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    if sum(map(_columns, line)) <= width:
        return line
    kept, used = [], 1
    for char in line:
        used += _columns(char)
        if used > width:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten_home(text: str) -> str:
    """Write paths under the home folder with ``~``, so that the text can be shown to others."""
    home = str(Path.home()).rstrip("/")
    return re.sub(rf"(?<![\w./~-]){re.escape(home)}(?![\w.-])", "~", text) if home else text
