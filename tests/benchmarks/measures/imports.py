"""Time from nothing to a usable model: import beyond numpy's, then the first vector."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from statistics import median

from fleet import OURS, Fleet
from report import Result, Target

from measures import Plan

_LIMIT = 50
_PROGRAM = """
import json, sys, time
import numpy
start = time.perf_counter()
from bge_fast import FlagModel
imported = time.perf_counter()
model = FlagModel(sys.argv[1], devices="cpu")
opened = time.perf_counter()
model.encode("one")
print(json.dumps([imported - start, opened - imported, time.perf_counter() - opened]))
"""


def measure(fleet: Fleet, plan: Plan) -> Result:
    with tempfile.TemporaryDirectory() as bytecode:
        # An installed package has its bytecode beside it; a checkout that never writes any must not count as slower.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        command = [str(OURS.python), "-c", _PROGRAM, str(fleet.ours)]
        runs = [
            json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
            for _ in range(plan.import_rounds + 1)
        ]
    columns = [sorted(1e3 * value for value in column) for column in zip(*runs[1:], strict=True)]
    result = Result(f"Start, {plan.import_rounds} fresh processes", ("", "median, ms", "least, ms"))
    steps = ("`from bge_fast import FlagModel` after `import numpy`", f"open {fleet.ours.name}", "first vector")
    for step, column in zip(steps, columns, strict=True):
        result.rows.append((step, f"{median(column):.0f}", f"{column[0]:.0f}"))
    middle = median(columns[0])
    result.targets.append(Target("import beyond numpy", f"≤ {_LIMIT} ms", f"{middle:.0f} ms", middle <= _LIMIT))
    return result
