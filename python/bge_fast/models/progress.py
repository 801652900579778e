"""A progress bar beside a running call."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bge_fast import _core

_DELAY = 2.0
_TICK = 0.1
# A call this small is over before anybody wants a bar; it is not worth a thread.
_FEW_TEXTS = 32


@contextmanager
def progress_bar(total: int, show: bool | None, progress: Any = None) -> Iterator[Any]:
    """Show how many of ``total`` texts are done, on stderr.

    ``True`` shows a bar at once, ``False`` none, ``None`` one only on a terminal and only after two seconds. The number
    is ``done`` of ``progress``, by default of one that the core counts in.
    """
    progress = progress or _core.Progress()
    wanted = total > _FEW_TEXTS and _on_terminal() if show is None else show
    if not wanted:
        yield progress
        return
    ended = threading.Event()
    thread = threading.Thread(target=_draw, args=(progress, total, _DELAY if show is None else 0, ended), daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()


def _on_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # None, a closed file, or somebody's object with `write` alone
        return False


def _draw(progress: Any, total: int, delay: float, ended: threading.Event) -> None:
    if ended.wait(delay) and delay:
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="text", file=sys.stderr) as bar:
        while not ended.wait(_TICK):
            bar.update(progress.done - bar.n)
        bar.update(progress.done - bar.n)
