"""What an interrupted run has written, for the next one to go on with.

Beside ``out.npy`` lie ``out.npy.partial``, the rows so far, and ``out.npy.partial.json``, which says how many of its
bytes count, of how many texts, which ones, and how they were computed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.commands.replacing import errors_naming, like, replacing, writable
from bge_fast.commands.sink import Sink
from bge_fast.commands.texts import CHUNK_TEXTS, Text, TextReader

# Seconds between two notes of what is written; and what computing a chunk should take, which is lost at most.
_INTERVAL = 1.0
_CHUNK = (5.0, 10.0)
_FEWEST_TEXTS = 16


class _Done(NamedTuple):
    """What a part holds."""

    texts: int
    bytes: int
    sha256: str
    """Of the records of these texts."""


class Part:
    """What is written so far of one file; open and locked.

    Args:
        file: what was written, and takes more.
        target: what it becomes.
        made_by: whatever decides what the results are, such as the model's files and options.

    Raises:
        InputError: what is there was made by something else.
    """

    def __init__(self, file: BinaryIO, target: Path, made_by: Mapping[str, Any]) -> None:
        self.file, self._target = file, target
        self._made_by = json.loads(json.dumps(made_by))
        self._done = self._found()
        if not self._done.texts:  # a note of what is lost would later be taken for one of what is written now
            _description(target).unlink(missing_ok=True)
        file.truncate(self._done.bytes)
        file.seek(self._done.bytes)
        self._digest = hashlib.sha256()
        self._saved_at = time.monotonic()

    @property
    def texts(self) -> int:
        """How many texts are done."""
        return self._done.texts

    def _found(self) -> _Done:
        """What the last run noted; nothing where it came to no note, or more was noted than is there."""
        nothing = _Done(0, 0, hashlib.sha256().hexdigest())
        try:
            noted = json.loads(_description(self._target).read_text(encoding="utf-8"))
            done = _Done(*(noted[name] for name in _Done._fields))
            made_by = noted["made_by"]
            if os.fstat(self.file.fileno()).st_size < done.bytes:
                return nothing
        except (OSError, ValueError, KeyError, TypeError):
            return nothing
        if made_by != self._made_by:
            differs = [name for name in made_by | self._made_by if made_by.get(name) != self._made_by.get(name)]
            raise InputError(
                f"{_partial(self._target)} was made with another {', '.join(differs)}. Go on with it by the command "
                "that made it; without --resume, or without this file, all is computed anew"
            )
        return done

    def rest(self, reader: TextReader) -> "Rest":
        """The texts that are not done yet."""
        return Rest(reader, self)

    def noting(self, sink: Sink) -> "NotingSink":
        """A sink that writes what is given to it to ``sink``, and notes here what is done."""
        return NotingSink(sink, self)

    def passed(self, text: Text) -> None:
        """Take a text into account that is done."""
        self._digest.update(output.to_json(text.record).encode("utf-8", "surrogatepass") + b"\n")

    def check(self, place: str) -> None:
        """See that the texts that are done are those of the run before.

        Raises:
            InputError: names the last of them.
        """
        if self._digest.hexdigest() != self._done.sha256:
            raise InputError(
                f"{place}: the {self._done.texts:,} texts up to here are not those of {_partial(self._target)}. "
                "Without --resume, or without this file, all is computed anew"
            )

    def note(self, texts: Sequence[Text]) -> None:
        """These texts are written too."""
        for text in texts:
            self.passed(text)
        self._done = _Done(self._done.texts + len(texts), self.file.tell(), self._digest.hexdigest())
        if time.monotonic() - self._saved_at > _INTERVAL:
            self.save()

    def save(self) -> None:
        """Let the next run find what is done."""
        self.file.flush()
        os.fsync(self.file.fileno())
        noted = json.dumps({**self._done._asdict(), "made_by": self._made_by}, ensure_ascii=False)
        with replacing(_description(self._target)) as description:
            description.write(noted.encode())
        self._saved_at = time.monotonic()

    def replace_target(self) -> None:
        """Let the part be the file."""
        if self._target.exists():
            like(self.file, self._target.stat())
        self.file.flush()
        os.fsync(self.file.fileno())
        _partial(self._target).replace(self._target)


class Rest:
    """The texts of a reader behind those that are done."""

    def __init__(self, reader: TextReader, part: Part) -> None:
        self._reader, self._part, self._skipped = reader, part, part.texts

    def __iter__(self) -> Iterator[Text]:
        place, skipped = "the input", 0
        texts = iter(self._reader)
        while skipped < self._skipped and (text := next(texts, None)):
            self._part.passed(text)
            place, skipped = text.place, skipped + 1
        self._part.check(place)
        yield from texts

    def expected(self, read: int) -> int | None:
        """How many texts there will be in all, as of `TextReader`."""
        expected = self._reader.expected(read + self._skipped)
        return None if expected is None else expected - self._skipped


class Pace:
    """How many texts a chunk should have, so that it takes some seconds with slow models too: told before each."""

    def __init__(self) -> None:
        self._texts, self._asked_at = _FEWEST_TEXTS, float("-inf")

    def __call__(self) -> int:
        """Twice as many as before where those were done soon, half as many where they took long."""
        now = time.monotonic()
        took, self._asked_at = now - self._asked_at, now
        if took < _CHUNK[0]:
            self._texts = min(2 * self._texts, CHUNK_TEXTS)
        elif _CHUNK[1] < took < float("inf"):
            self._texts = max(self._texts // 2, _FEWEST_TEXTS)
        return self._texts


class NotingSink:
    """Writes to another sink, and notes what is done."""

    def __init__(self, sink: Sink, part: Part) -> None:
        self._sink, self._part = sink, part

    def write(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Write and note."""
        self._sink.write(texts, fields)
        if texts:
            self._part.note(texts)

    def finish(self) -> None:
        """All chunks are written."""
        self._sink.finish()


@contextmanager
def resumed(path: Path, made_by: Mapping[str, Any]) -> Iterator[Part]:
    """Open what an interrupted run has written of a file, or begin. It stays where the block ends by an exception.

    Raises:
        InputError: what is there was made by something else, or another run is writing it.
        OSError: it cannot be written; names ``path``.
    """
    target = writable(path)
    with errors_naming(path), _locked(_partial(target)) as file:
        part = Part(file, target, made_by)
        if part.texts:
            output.note(f"going on after {part.texts:,} texts of an interrupted run")
        try:
            yield part
        except BaseException:
            _keep_or_remove(part, target)
            raise
        _remove(target)


def _keep_or_remove(part: Part, target: Path) -> None:
    with contextlib.suppress(OSError):  # such as those of a full disk, which are told already
        part.save() if part.texts else _remove(target)


@contextmanager
def _locked(partial: Path) -> Iterator[BinaryIO]:
    with open(partial, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{partial} is written by another run; name another file, or wait for it") from error
        except OSError:  # some file systems have no locks
            pass
        if not partial.exists() or not os.path.samestat(partial.stat(), os.fstat(file.fileno())):
            raise InputError(
                f"{partial} was completed or removed by another run just now; look at what that has written"
            )
        try:
            yield file
        finally:
            if not os.fstat(file.fileno()).st_size:
                partial.unlink(missing_ok=True)


def note_parts(path: Path) -> None:
    """Say that an interrupted run has left something that this one does not use."""
    if _description(path.resolve()).exists():
        output.note(f"{path} is made anew; --resume would go on with what an interrupted run left of it")


def clear_parts(path: Path) -> None:
    """Remove what an interrupted run has left of a file that is complete now."""
    target = path.resolve()
    if _partial(target).exists() or _description(target).exists():
        with contextlib.suppress(InputError), _locked(_partial(target)):
            _remove(target)


def _remove(target: Path) -> None:
    for file in (_description(target), _partial(target)):
        file.unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


def _description(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial.json")
