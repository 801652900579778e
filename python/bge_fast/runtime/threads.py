"""How many CPU threads a model gets that was not told a number."""

import os

from bge_fast import _core
from bge_fast.errors import warn

MOST_THREADS = 1024
"""More than any machine here has; ONNX Runtime starts as many as it is told, for minutes."""
VARIABLE = "OMP_NUM_THREADS"


def default_threads() -> int:
    """As many as ``OMP_NUM_THREADS`` says, as torch and numpy take it; else all that affinity and cgroup allow.

    Where the system starts fewer, those, with a warning.
    """
    wanted = _of_variable() or _core.available_threads()
    # The first thread of a run is its caller's own.
    threads = 1 + _core.startable_threads(wanted - 1)
    if threads < wanted:
        warn(f"the system lets this process start only {threads - 1} more threads: {threads} are used", RuntimeWarning)
    return threads


def _of_variable() -> int | None:
    # For nested teams there may be several numbers, the outermost first.
    first = os.environ.get(VARIABLE, "").split(",")[0].strip()
    if not (first.isascii() and first.isdecimal()) or len(first.lstrip("0")) > len(str(MOST_THREADS)):
        return None
    return min(int(first), MOST_THREADS) or None
