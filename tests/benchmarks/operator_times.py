"""Time by operator of bge-fast's own sessions: `operator_times.py FOLDER PRECISION`, texts as a JSON list on standard input.

ONNX Runtime's profiler is switched on in the options of every session, through the library's own table: the package has no
option for it. Prints `{operator: [calls, milliseconds]}`; of runs side by side the times add up.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any

from runtime_table import place_in_table

_CREATE_SESSION_OPTIONS, _ENABLE_PROFILING = 10, 14
_CREATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p))
_ENABLE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


def main() -> None:
    from bge_fast import FlagModel
    from bge_fast.runtime.library import load_runtime

    texts = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as scratch:
        keep = profile_all(Path(load_runtime().path), Path(scratch))
        model = FlagModel(sys.argv[1], devices="cpu", precision=sys.argv[2])
        if len(texts) <= 1 or "--singly" in sys.argv:
            for text in texts:
                model.encode(text)
        else:
            model.encode(texts)
        # The profile is written when a session ends.
        model.close()
        del keep
        print(json.dumps(by_operator(Path(scratch))))


def profile_all(library: Path, folder: Path) -> Any:
    """Write a profile of every session that is opened from now on into the folder; keep what this returns."""
    create = place_in_table(library, _CREATE_SESSION_OPTIONS)
    real = _CREATE(create.value)
    enable = _ENABLE(place_in_table(library, _ENABLE_PROFILING).value)
    numbers = count()

    def created(out: Any) -> Any:
        status = real(out)
        if not status:
            status = enable(out[0], str(folder / f"session-{next(numbers)}").encode())
        return status

    wrapped = _CREATE(created)
    create.value = ctypes.cast(wrapped, ctypes.c_void_p).value
    return wrapped, real, enable


def by_operator(folder: Path) -> dict[str, tuple[int, float]]:
    """Calls and milliseconds of each operator in the profiles."""
    calls: dict[str, int] = defaultdict(int)
    times: dict[str, float] = defaultdict(float)
    for file in folder.glob("*.json"):
        for event in json.loads(file.read_text()):
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                operator = event["args"]["op_name"]
                calls[operator] += 1
                times[operator] += event["dur"] / 1e3
    return {operator: (calls[operator], times[operator]) for operator in times}


if __name__ == "__main__":
    main()
