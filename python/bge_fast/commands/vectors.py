"""Vectors to a file or to stdout, as they come. A file appears under its name only when it is complete."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.commands.replacing import replacing
from bge_fast.commands.texts import STDIN, Text
from bge_fast.models.shapes import Matrix


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
        InputError: the target is a pipe or device, which takes JSONL alone, or a socket.
    """
    if target in (None, STDIN):
        sink: Sink = JsonlSink(output.result, output.flush)
        yield sink
        sink.finish()
        return
    path, is_npy = Path(str(target)), str(target).endswith(".npy")
    if path.exists() and not path.is_file() and not path.is_dir():
        _check_stream(path, is_npy)
        opening: AbstractContextManager[BinaryIO] = path.open("wb")
    else:
        opening = replacing(path)
    with opening as file:
        sink = NpySink(file) if is_npy else JsonlSink(_line_writer(file), file.flush)
        yield sink
        sink.finish()


def _check_stream(path: Path, is_npy: bool) -> None:
    if path.is_socket() or path.is_block_device():
        raise InputError(f"{path} is neither a file nor a pipe; name a file to write")
    if is_npy:
        raise InputError(f"{path} is no regular file: the header of .npy is written last. Write JSONL into it")


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
