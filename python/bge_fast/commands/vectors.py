"""Vectors to a file or to stdout, as they come. A file appears under its name only when it is complete."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from bge_fast.commands import output
from bge_fast.commands.texts import STDIN, Text
from bge_fast.models.shapes import Matrix

_TEMPORARY = ".bge-fast-"


class Sink(Protocol):
    """Takes the vectors of one run, chunk by chunk."""

    def write(self, texts: Sequence[Text], vectors: Matrix) -> None:
        """Take the next chunk; ``vectors`` has one row a text."""

    def finish(self) -> None:
        """All chunks are written."""


@contextmanager
def open_sink(target: str | None) -> Iterator[Sink]:
    """Open ``out.npy``, ``out.jsonl``, or stdout for ``None`` and ``-``.

    Raises:
        OSError: the file cannot be written. Then, and after any other exception, nothing is left of it.
    """
    if target in (None, STDIN):
        sink: Sink = JsonlSink(output.result, output.flush)
        yield sink
        sink.finish()
        return
    with _replacing(Path(str(target))) as file:
        sink = NpySink(file) if str(target).endswith(".npy") else JsonlSink(_line_writer(file))
        yield sink
        sink.finish()


class NpySink:
    """A float32 matrix in numpy's format. Rows are appended; the header gets their number at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows = 0
        self._dimension: int | None = None

    def write(self, texts: Sequence[Text], vectors: Matrix) -> None:
        """Append the rows."""
        if self._dimension is None:
            self._dimension = vectors.shape[1]
            self._write_header()
        self._file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        self._rows += len(texts)

    def finish(self) -> None:
        """Put the number of rows into the header."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # numpy pads the header so that it keeps its length when the first axis grows.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._dimension or 0)}
        np.lib.format.write_array_header_1_0(self._file, header)


class JsonlSink:
    """One JSON object a line: the text's own, with its vector as ``embedding``."""

    def __init__(self, write_line: Callable[[str], object], flush: Callable[[], object] | None = None) -> None:
        self._write_line = write_line
        self._flush = flush

    def write(self, texts: Sequence[Text], vectors: Matrix) -> None:
        """Write a line for each text."""
        self.write_fields(texts, {"embedding": vectors})

    def write_fields(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Write a line for each text, with its value of each field. Arrays become lists one text at a time."""
        for place, text in enumerate(texts):
            values = {name: column[place] for name, column in fields.items()}
            lists = {name: one.tolist() if isinstance(one, np.ndarray) else one for name, one in values.items()}
            self._write_line(output.to_json({**text.record, **lists}))
        self.finish()

    def finish(self) -> None:
        """Let the reader see what was written."""
        if self._flush:
            self._flush()


def _line_writer(file: BinaryIO) -> Callable[[str], Any]:
    return lambda line: file.write(line.encode("utf-8", "backslashreplace") + b"\n")


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    target = path.resolve()
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    temporary = target.with_name(_TEMPORARY + secrets.token_hex(4))
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
