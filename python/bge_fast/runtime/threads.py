"""How many CPU threads a model gets that was not told a number."""

import os

from bge_fast import _core

MOST_THREADS = 1024
"""More than any machine here has; ONNX Runtime starts as many as it is told, for minutes."""
VARIABLE = "OMP_NUM_THREADS"


def default_threads() -> int:
    """As many as ``OMP_NUM_THREADS`` says, as torch and numpy take it; else all that affinity and cgroup allow."""
    return _of_variable() or _core.available_threads()


def _of_variable() -> int | None:
    # For nested teams there may be several numbers, the outermost first.
    first = os.environ.get(VARIABLE, "").split(",")[0].strip()
    if not (first.isascii() and first.isdecimal()) or len(first.lstrip("0")) > len(str(MOST_THREADS)):
        return None
    return min(int(first), MOST_THREADS) or None
