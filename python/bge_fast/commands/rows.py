"""Rows of training data from a file, and to one that an interrupted run goes on with."""

import hashlib
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.commands.texts import STDIN, TextReader

Write = Callable[[Any], object]


class RowFile:
    """Rows of a JSONL file, read as they are needed, as often as they are; stdin is held."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._reader = TextReader([file], "query")
        self._read = 0
        self._held = [row.record for row in self._reader] if file == STDIN else None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._held is not None:
            yield from self._held
            return
        for number, text in enumerate(self._reader, start=1):
            self._read = number
            yield text.record

    def expected(self) -> int | None:
        """How many rows there will be in all, as far as they are read."""
        return len(self._held) if self._held is not None else self._reader.expected(self._read)

    def place(self, number: int) -> str:
        """File and line of a row, found by reading up to it: errors alone ask for it."""
        if self._held is not None:
            return f"stdin: row {number + 1}"
        return next(
            (text.place for at, text in enumerate(self._reader) if at == number), f"{self.file}: row {number + 1}"
        )


@contextmanager
def written(args: Namespace, sources: list[str]) -> Iterator[tuple[Write, int]]:
    """A function that writes rows to the file that was asked for, or to stdout; and how many are there already.

    Rows go into a file beside it, which is renamed when all are there and stays when the run is interrupted. The next
    run with the same arguments and sources goes on with it.
    """
    if args.output_file in (None, STDIN):
        yield lambda row: output.result(output.to_json(row)), 0
        return
    target = Path(args.output_file)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise InputError(f"{target} cannot be written: it is a folder, or lies in none")
    partial = target.with_name(f"{target.name}.part-{_fingerprint(args, sources)}")
    try:
        with partial.open("ab+") as file:
            done = _whole_lines(file)
            if done:
                output.note(f"going on after {done:,} rows of an interrupted run")
            yield lambda row: file.write(output.to_json(row).encode("utf-8", "backslashreplace") + b"\n"), done
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        if partial.exists() and not partial.stat().st_size:
            partial.unlink()


def _whole_lines(file: Any) -> int:
    """How many lines a file has; one without its end is cut off."""
    file.seek(0)
    count = size = 0
    for line in file:
        if line.endswith(b"\n"):
            count, size = count + 1, size + len(line)
    file.truncate(size)
    return count


def _fingerprint(args: Namespace, sources: list[str]) -> str:
    """Of the arguments and of the files that are read."""
    stamps = [(one, os.stat(one).st_size, os.stat(one).st_mtime_ns) for one in sources if one != STDIN]
    given = {name: value for name, value in vars(args).items() if name not in ("debug", "vectors", "threads")}
    return hashlib.sha256(repr((sorted(given.items()), stamps)).encode()).hexdigest()[:12]
