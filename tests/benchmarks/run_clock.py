"""When ONNX Runtime's `Run` begins and ends within a call of ours, in the very library and call that users have.

The library hands out one table of functions. There, `Run` is replaced by a function that looks at the clock before and after
the real one; a call has one `Run` a batch, so this costs nothing that could be measured.
"""

from __future__ import annotations

import ctypes
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from runtime_table import place_in_table

_PLACE_OF_RUN = 9
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
        run = place_in_table(library, _PLACE_OF_RUN)
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
