"""How far a command is: a bar of texts on a terminal, and a closing line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bge_fast.commands import output
from bge_fast.commands.texts import Text, TextReader, chunks
from bge_fast.models.model import Model
from bge_fast.models.progress import DELAY, Tally, counted_by, drawn, on_terminal


class Run:
    """The texts of one command, read and computed chunk by chunk."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader
        self._tally = Tally()
        self._read = 0

    def chunks(self, most: int | Callable[[], int] | None = None) -> Iterator[list[Text]]:
        """Chunks of the reader's texts, as of `chunks`; what is computed of them is counted."""
        for chunk in chunks(self._reader, most):
            self._read += len(chunk)
            yield chunk

    @contextmanager
    def watched(self, what: str, model: Model, times: int = 1) -> Iterator[None]:
        """Show where stderr is a terminal how many texts are done, and at the end how many there were, and how fast.

        Each text is computed several ``times``.
        """
        if not on_terminal():
            yield
            return
        started = time.monotonic()
        with counted_by(self._tally), drawn(lambda: self._tally.done, lambda: self._expected(times)):
            yield
        output.note(_closing_line(self._tally, f"{what} on {model.target_devices[0]}", time.monotonic() - started))

    def _expected(self, times: int) -> int | None:
        expected = self._reader.expected(self._read)
        return None if expected is None else expected * times


class Count:
    """How many are done, told by calling it."""

    def __init__(self, total: Callable[[], int | None], unit: str) -> None:
        self._total, self._unit = total, unit
        self._done = 0

    def __call__(self, done: int) -> None:
        """Tell how many there are by now."""
        self._done = done

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Show a bar of them where stderr is a terminal, unless the block is over soon."""
        if not on_terminal():
            yield
            return
        with drawn(lambda: self._done, self._total, DELAY, self._unit):
            yield


def _closing_line(tally: Tally, what: str, seconds: float) -> str:
    line = f"{tally.done:,} {what} in {seconds:.1f} s, {tally.done / max(seconds, 1e-3):,.1f} a second"
    if tally.truncated is None:
        return line
    return f"{line}; {tally.truncated or 'none'} cut at --max-length"
