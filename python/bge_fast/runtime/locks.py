"""Locks that are free in a forked child: the thread that holds one in the parent is not there to unlock it."""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


class Lock:
    """A lock that one thread may take several times, as a signal handler does that interrupts its holder."""

    def __init__(self) -> None:
        self._renew()
        _locks.add(self)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for a block; wait until other threads let go of it."""
        with self._lock:
            yield

    def _renew(self) -> None:
        self._lock = threading.RLock()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock._renew()


os.register_at_fork(after_in_child=_renew_all)
