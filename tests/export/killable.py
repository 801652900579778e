"""A process that imports the exporter once, then runs exports in children that kill themselves.

Reads one JSON line per export from stdin, `{"arguments": [...], "moment": NAME}`; answers with the child's
status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import onnxruntime.transformers.optimizer  # noqa: F401  (imported before the fork, for speed)
import optimum.exporters.onnx  # noqa: F401

from bge_fast_export import export, folder
from bge_fast_export.__main__ import main


def dies_before(module: ModuleType, name: str) -> None:
    """Kill the process when `module.name` is called."""
    setattr(module, name, lambda *_, **__: die())


def dies_after(module: ModuleType, name: str) -> None:
    """Kill the process when `module.name` has done its work."""
    wrapped: Callable[..., Any] = getattr(module, name)

    def wrapper(*args: Any, **kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        die()

    setattr(module, name, wrapper)


def die() -> None:
    """End as `kill -9` does: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


MOMENTS: dict[str, Callable[[], None]] = {
    "before the weights": lambda: dies_before(export, "load_model"),
    "with the fp32 graph": lambda: dies_after(export, "export_graph"),
    "with the manifest": lambda: dies_after(export, "write_manifest"),
    "while syncing": lambda: dies_after(folder, "_sync"),
    "before the rename": lambda: dies_before(folder, "_install"),
    "after the rename": lambda: dies_after(folder, "_install"),
    "never": lambda: None,
}

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        MOMENTS[order["moment"]]()
        os.dup2(2, 1)
        os._exit(main(order["arguments"]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
