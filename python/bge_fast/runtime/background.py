"""Calls in threads of our own, which others wait for and can stop."""

import atexit
import os
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bge_fast.errors import ForkedProcessError, InternalError
from bge_fast.runtime.locks import Lock

if TYPE_CHECKING:
    from concurrent.futures import Future

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
        self.future: Future[R] = _threads.submit(self, partial(copy_context().run, self._do, work))

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
    """Threads of this process, which go when it ends; a forked child has none of its parent's.

    A ``ThreadPoolExecutor`` takes nothing more once the main thread is through, though other threads go on, and then
    keeps the process until all is done, though nobody waits for it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._tasks: SimpleQueue[tuple[Background[Any], Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._running: dict[Background[Any], Future[Any]] = {}
        self._threads = 0

    def submit(self, call: Background[R], work: Callable[[], R]) -> "Future[R]":
        """What the work of a call will give. Nothing here is imported before."""
        from concurrent.futures import Future

        future: Future[R] = Future()
        with self._lock.held():
            if len(self._running) >= self._threads and self._threads < MOST:
                Thread(target=self._serve, name=f"bge-fast-call-{self._threads}", daemon=True).start()
                self._threads += 1
            # In this order: an interrupt between the two must leave nothing that `end` waits for in vain.
            self._tasks.put((call, future, work))
            self._running[call] = future
        return future

    def _serve(self) -> None:
        while True:
            self._do(*self._tasks.get())

    def _do(self, call: Background[R], future: "Future[R]", work: Callable[[], R]) -> None:
        try:
            if not future.set_running_or_notify_cancel():
                self._ended(call)
                return
            try:
                result = work()
            finally:
                self._ended(call)
            future.set_result(result)
        except BaseException as error:
            future.set_exception(error)
        finally:
            del future  # The error knows this frame: both would stay until the garbage is collected.

    def _ended(self, call: Background[Any]) -> None:
        with self._lock.held():
            self._running.pop(call, None)

    def end(self) -> None:
        """Stop what nobody waits for any more. A thread that came back from the core later would end in a crash."""
        running = dict(self._running)
        for call, future in running.items():
            future.cancel()
            call.stop()
        if running:
            from concurrent.futures import wait

            wait(running.values())

    def leave_to_parent(self) -> None:
        """Begin without threads, in a forked child."""
        # Kept as they are: tidying up would wait for threads that are not here.
        self._of_parent = self._tasks, self._running
        self._begin()


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.leave_to_parent)
# Other threads of the program have ended by then.
atexit.register(_threads.end)
