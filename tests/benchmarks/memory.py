"""Memory of this process in MB, as the kernel counts it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

_INTERVAL = 0.005


def peak() -> float:
    """Most resident memory so far. `ru_maxrss` would count what the parent had before this program was started."""
    return _megabytes("VmHWM")


def private() -> float:
    """Resident memory that no file backs, so that no other process can share it and nothing but swap can free it."""
    return _megabytes("RssAnon")


def resident() -> float:
    """Resident memory, pages of mapped files included."""
    return _megabytes("VmRSS")


def forget_peak() -> None:
    """Let `peak` count from now on."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Watch:
    """The most private memory while it watches, looked at all the time."""

    def __init__(self) -> None:
        self.most = private()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(_INTERVAL):
            self.most = max(self.most, private())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()


def _megabytes(name: str) -> float:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {name}")
