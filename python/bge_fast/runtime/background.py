"""Calls in threads of our own, which others wait for and can stop."""

import os
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bge_fast.errors import ForkedProcessError, InternalError
from bge_fast.runtime.locks import Lock

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

R = TypeVar("R")
MOST = 1024
"""Calls at a time. That many wait in the core, where they join and ``timeout`` and ``max_queue`` count, not here."""
_PARTS = 2
"""Parts of a call that go on at a time."""


class Background(Generic[R]):
    """One call, begun in a thread of its own, in the caller's context."""

    def __init__(self, work: Callable[[], R]) -> None:
        self._stopped, self._process = False, os.getpid()
        self._parts: deque[Any] = deque(maxlen=_PARTS)
        if around := in_background():
            around.begin(self)
        self.future: Future[R] = _threads.submit(copy_context().run, self._do, work)

    def _do(self, work: Callable[[], R]) -> R:
        _current.set(self)
        return work()

    def begin(self, part: Any) -> None:
        """Let a part of it, such as a pass through the core, be stopped with it."""
        self._parts.append(part)
        if self._stopped:
            raise InternalError("stopped by the caller")

    def result(self) -> R:
        """Wait for what it gives.

        Raises:
            ForkedProcessError: it was begun in the parent of this process, whose threads are not here.
        """
        if os.getpid() != self._process:
            raise ForkedProcessError("this was begun before the process was forked. Begin it anew")
        return self.future.result()

    def stop(self) -> None:
        """Let it end after the batch that is running, if it has not ended. Nobody hears of that."""
        self._stopped = True
        for part in tuple(self._parts):
            part.stop()


_current: ContextVar[Background[Any] | None] = ContextVar("background", default=None)


def in_background() -> Background[Any] | None:
    """The call that this thread does for others."""
    return _current.get()


async def awaited(method: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """What a method gives, while the event loop goes on; whoever cancels this stops the call."""
    from asyncio import wrap_future

    call = Background(partial(method, *args, **kwargs))
    try:
        return await wrap_future(call.future)
    finally:
        call.stop()


class _Threads:
    """Threads of this process; a forked child has none of its parent's."""

    def __init__(self) -> None:
        self._opening = Lock()
        self._open: ThreadPoolExecutor | None = None
        self._of_parent: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[..., R], *args: Any) -> "Future[R]":
        """What the work will give. Nothing here is imported before."""
        with self._opening.held():
            if self._open is None:
                from concurrent.futures import ThreadPoolExecutor

                self._open = ThreadPoolExecutor(MOST, "bge-fast-call")
        return self._open.submit(work, *args)

    def leave_to_parent(self) -> None:
        # Kept as they are: tidying up would wait for threads that are not here.
        self._open, self._of_parent = None, self._open


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.leave_to_parent)
