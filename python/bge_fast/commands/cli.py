"""The command ``bge-fast``: arguments, exit status, and one line for what went wrong."""

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import NoReturn

from bge_fast.commands import output, usage

FAILED = 1
INTERRUPTED = 130
_TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 failed, 2 wrong usage, 3 ``doctor`` found an error, 130 interrupted.
    """
    output.set_up()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with _stoppable(), _warnings_in_one_line():
            status = _run(words)
            output.flush()
        return status
    except SystemExit as error:  # argparse ends this way, after it wrote its message
        return error.code if isinstance(error.code, int) else 0
    except BrokenPipeError:
        output.discard_results()
        return 0
    except KeyboardInterrupt:
        output.note("interrupted")
        return INTERRUPTED
    except Exception as error:
        if "--debug" in words:
            output.show_traceback()
        output.note(f"error: {str(error) or type(error).__name__}")
        return FAILED


def _run(words: list[str]) -> int:
    args = usage.parsed(words)
    return int(import_module(args.room).run(args))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM unwinds the stack, so that what is half-written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[[int, FrameType | None], object] | int | None = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_TERMINATED)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_place, **_more: output.note(f"warning: {message}")
        yield
