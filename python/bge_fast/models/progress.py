"""How far a running call is: counted by the core, shown as a bar beside it."""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bge_fast import _core
from bge_fast.models.inputs import flag
from bge_fast.runtime.background import in_background

DELAY = 2.0
"""Seconds until a bar that nobody asked for appears."""
_TICK = 0.1
# A call this small is over before anybody wants a bar; it is not worth a thread.
_FEW_TEXTS = 32


class Tally:
    """Counts over all calls within `counted_by`. Any thread may look."""

    def __init__(self) -> None:
        self._ended = 0
        self._running: Any = None
        self.truncated: int | None = None
        """Texts that were cut; ``None`` where nobody counts them."""

    @property
    def done(self) -> int:
        """Texts that are done."""
        running = self._running
        return self._ended + (running.done if running else 0)

    @contextmanager
    def of(self, progress: Any, total: int) -> Iterator[Any]:
        """Count one call of ``total`` texts."""
        self._running = progress
        yield progress
        self._ended, self._running = self._ended + total, None


_tally: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counted_by(tally: Tally) -> Iterator[None]:
    """Let a tally count the calls that this thread makes in the block, which then show no bars of their own."""
    token = _tally.set(tally)
    try:
        yield
    finally:
        _tally.reset(token)


def count_truncated(texts: int) -> None:
    """Tell the tally, if there is one, how many texts of a call were cut."""
    if tally := _tally.get():
        tally.truncated = (tally.truncated or 0) + texts


@contextmanager
def progress_bar(total: int, show: bool | None, progress: Any = None) -> Iterator[Any]:
    """Show how many of ``total`` texts are done, on stderr or in the notebook.

    ``True`` shows a bar at once, ``False`` none, ``None`` one only where somebody watches and only after two seconds,
    which nobody does with calls in the background. The number is ``done`` of ``progress``, by default of one that the
    core counts in.
    """
    background = in_background()
    if progress is None:
        progress = _core.Progress()
        if background:
            background.begin(progress)
    if tally := _tally.get():
        with tally.of(progress, total):
            yield progress
        return
    if show is None:
        wanted = total > _FEW_TEXTS and not background and (on_terminal() or _in_notebook())
    else:
        wanted = flag("show_progress_bar", show)
    if not wanted:
        yield progress
        return
    with drawn(lambda: progress.done, lambda: total, DELAY if show is None else 0):
        yield progress


@contextmanager
def drawn(
    done: Callable[[], int], total: Callable[[], int | None], delay: float = 0, unit: str = "text"
) -> Iterator[None]:
    """Show a bar while the block runs, after ``delay`` seconds; both numbers are looked up again and again."""
    ended = threading.Event()
    thread = threading.Thread(target=_draw, args=(done, total, delay, unit, ended), daemon=True)
    try:
        thread.start()
    except RuntimeError:  # The system has no thread to spare: what is computed needs no bar.
        yield
        return
    try:
        yield
    finally:
        ended.set()
        thread.join()


def on_terminal() -> bool:
    """Whether stderr is a terminal."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # None, a closed file, or somebody's object with `write` alone
        return False


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


def _draw(
    done: Callable[[], int], total: Callable[[], int | None], delay: float, unit: str, ended: threading.Event
) -> None:
    if ended.wait(delay) and delay:
        return
    with warnings.catch_warnings():
        # In a notebook without widgets it warns, and draws with characters.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    with tqdm(total=total(), unit=unit, file=sys.stderr) as bar:
        over = False
        while not over:
            over = ended.wait(_TICK)
            bar.total = total()
            bar.update(done() - bar.n)
