"""When ONNX Runtime's `Run` begins and ends within a call of ours, in the very library and call that users have.

The library hands out one table of functions. There, `Run` is replaced by a function that looks at the clock before and after
the real one; a call has one `Run` a batch, so this costs nothing that could be measured.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

_API_VERSION = 17
_PLACE_OF_RUN = 9
_READ_WRITE = 1 | 2
_ARGUMENTS = [*[ctypes.c_void_p] * 4, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_RUN = ctypes.CFUNCTYPE(ctypes.c_void_p, *_ARGUMENTS)


@dataclass(frozen=True)
class Share:
    """Where the seconds of a call went; those of threads that run side by side count once."""

    before: float
    """Until the first run: tokenizing, batches."""
    graph: float
    """In runs."""
    after: float
    """From the end of a run to the next one's beginning in its thread, and from the last run's end to that of the call."""
    idle: float
    """In threads that had nothing left to do while another's last run went on."""


class RunClock:
    """Notes every run from now on. For the rest of the process: nothing takes the table's change back."""

    def __init__(self, library: Path) -> None:
        self._runs: list[tuple[int, float, float]] = []
        run = _place_of_run(library)
        real = _RUN(run.value)
        # ctypes lets go of the GIL while the real function runs.
        self._timed = _RUN(lambda *arguments: self._run(real, arguments))
        run.value = ctypes.cast(self._timed, ctypes.c_void_p).value

    def _run(self, real: Any, arguments: tuple[Any, ...]) -> Any:
        begun = time.perf_counter()
        status = real(*arguments)
        self._runs.append((threading.get_native_id(), begun, time.perf_counter()))
        return status

    def split(self, begun: float, ended: float) -> Share:
        """Split up a call by the runs since the last split; times are those of `time.perf_counter`."""
        runs, self._runs = sorted(self._runs, key=lambda run: run[1]), []
        threads = {thread: [run[1:] for run in runs if run[0] == thread] for thread, _, _ in runs}
        if not threads:
            raise RuntimeError(
                "no run was noticed: the library in use is another one, or its table is laid out differently"
            )
        first, last = runs[0][1], max(end for _, _, end in runs)
        graph = sum(end - start for _, start, end in runs) / len(threads)
        gaps = sum(after[0] - one[1] for own in threads.values() for one, after in pairwise(own)) / len(threads)
        return Share(first - begun, graph, gaps + ended - last, last - first - graph - gaps)


def _place_of_run(library: Path) -> ctypes.c_void_p:
    """The table's entry, made writable."""
    get_base = ctypes.CDLL(str(library)).OrtGetApiBase
    get_base.restype = ctypes.POINTER(ctypes.c_void_p)
    get_table = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(get_base()[0])
    address = get_table(_API_VERSION) + _PLACE_OF_RUN * ctypes.sizeof(ctypes.c_void_p)
    page = address - address % mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), _READ_WRITE):
        raise OSError(ctypes.get_errno(), "the library's table cannot be made writable")
    return ctypes.c_void_p.from_address(address)
