"""Vectors to a file or to stdout, as they come. A file appears under its name only when it is complete."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.commands.matrix_file import Int8Sink, NpySink
from bge_fast.commands.replacing import replacing
from bge_fast.commands.resuming import Part, clear_parts, note_parts
from bge_fast.commands.sink import Sink
from bge_fast.commands.sparse_file import NpzSink
from bge_fast.commands.table_file import ParquetSink
from bge_fast.commands.texts import STDIN, Text


@contextmanager
def open_sink(
    target: str | None, dtype: str = "float32", schema: Any = None, part: Part | None = None
) -> Iterator[Sink]:
    """Open ``out.npy``, ``out.npz``, ``out.parquet``, ``out.jsonl``, or stdout for ``None`` and ``-``.

    Args:
        dtype: of a matrix: ``float32``, ``float16``, and in ``.npy`` ``int8``.
        schema: of ``.parquet`` the columns that texts come with; ``None`` to tell them by the first texts.
        part: what an interrupted run has written, to go on with.

    Raises:
        OSError: the file cannot be written. Then, and after any other exception, nothing is left of it but the part.
        InputError: the target is a pipe or device, which takes JSONL alone, or a socket.
    """
    path = Path(str(target))
    if target in (None, STDIN):
        sink: Sink = JsonlSink(output.result, output.flush)
        yield sink
        sink.finish()
    elif path.exists() and not path.is_file() and not path.is_dir():
        _check_stream(path)
        with path.open("wb") as file:
            yield (sink := JsonlSink(_line_writer(file), file.flush))
            sink.finish()
    elif part:
        yield from _of_part(path, dtype, part)
    else:
        note_parts(path)
        yield from _of_file(path, dtype, schema)
        clear_parts(path)


def _of_file(path: Path, dtype: str, schema: Any) -> Iterator[Sink]:
    with replacing(path) as file:
        if _is_built(path, dtype):
            with TemporaryFile(dir=path.resolve().parent) as spool:
                yield (built := _built(path, spool))
                built.build(file)
        else:
            sink = _direct(path, file, dtype, schema)
            try:
                yield sink
                sink.finish()
            finally:
                if isinstance(sink, ParquetSink):
                    sink.close()


def _of_part(path: Path, dtype: str, part: Part) -> Iterator[Sink]:
    if _is_built(path, dtype):
        yield (built := _built(path, part.file))
        with replacing(path) as file:
            built.build(file)
    else:
        yield (sink := _direct(path, part.file, dtype, None))
        sink.finish()
        part.replace_target()


def _is_built(path: Path, dtype: str) -> bool:
    """Whether a file is made of all that was written, in the end."""
    return path.suffix == ".npz" or dtype == "int8"


def _built(path: Path, spool: BinaryIO) -> NpzSink | Int8Sink:
    return NpzSink(spool) if path.suffix == ".npz" else Int8Sink(spool)


def _direct(path: Path, file: BinaryIO, dtype: str, schema: Any) -> Sink:
    if path.suffix == ".npy":
        return NpySink(file, dtype)
    if path.suffix == ".parquet":
        return ParquetSink(file, dtype, schema)
    return JsonlSink(_line_writer(file), file.flush)


def _check_stream(path: Path) -> None:
    if path.is_socket() or path.is_block_device():
        raise InputError(f"{path} is neither a file nor a pipe; name a file to write")
    if path.suffix != ".jsonl":
        raise InputError(
            f"{path} is no regular file: what is in a {path.suffix} file is written last. Write JSONL into it"
        )


class JsonlSink:
    """One JSON object a line: the text's own, with its vector as ``embedding``."""

    def __init__(self, write_line: Callable[[str], object], flush: Callable[[], object] | None = None) -> None:
        self._write_line = write_line
        self._flush = flush

    def write(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Write a line for each text, with its value of each field. Arrays become lists one text at a time."""
        for place, text in enumerate(texts):
            values = {name: column[place] for name, column in fields.items()}
            lists = {name: one.tolist() if isinstance(one, np.ndarray) else one for name, one in values.items()}
            try:
                line = output.to_json({**text.record, **lists})
            except TypeError as error:
                raise InputError(f"{text.place}: JSON does not hold a value of the row: {error}") from error
            self._write_line(line)
        self.finish()

    def finish(self) -> None:
        """Let the reader see what was written."""
        if self._flush:
            self._flush()


def _line_writer(file: BinaryIO) -> Callable[[str], Any]:
    return lambda line: file.write(line.encode("utf-8", "backslashreplace") + b"\n")
