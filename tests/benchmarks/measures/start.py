"""From nothing to the first vector: fresh processes of each competitor, with the files in the system's cache."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import fasttextembed_model
import numpy as np
from fleet import (
    FLAG_EMBEDDING,
    HERE,
    OURS,
    OURS_BF16,
    OURS_EXPORTED,
    OURS_INT8,
    OURS_LOW,
    ST_ONNX,
    ST_TORCH,
    Entry,
    Fleet,
    environment,
)
from report import Result, Target
from texts import QUERY

from measures import Plan, paired_ratio

# Seconds to start count in minutes here: of these, every third round will do.
_HEAVY = (ST_ONNX, ST_TORCH, FLAG_EMBEDDING)
_HEAVY_EVERY = 3
_FASTTEXTEMBED = Entry("fasttextembed", "", ".venv-peers")
_BY_HAND = Entry("onnxruntime and tokenizers, by hand", "", ".venv-peers", exported=True)
_PROGRAMS = {
    OURS: "ours",
    OURS_BF16: "ours_bf16",
    OURS_INT8: "ours_int8",
    OURS_LOW: "ours_low_memory",
    OURS_EXPORTED: "ours",
    _BY_HAND: "onnxruntime",
    _FASTTEXTEMBED: "fasttextembed",
    ST_ONNX: "sentence_transformers_onnx",
    ST_TORCH: "sentence_transformers",
    FLAG_EMBEDDING: "flag_embedding",
}
# Of int8, too.
_LEAST_COSINE = 0.999


@dataclass(frozen=True)
class Start:
    """One process. Times in ms."""

    total: float
    """From before the process was started until the vector was there."""
    beyond: float
    """`total` less the time of a process of the same environment that imports numpy and nothing else."""
    imported: float
    opened: float
    first: float
    private: float
    peak: float
    vector: list[float]


def measure(fleet: Fleet, plan: Plan) -> Result:
    folders = _folders(fleet)
    starts: dict[Entry, list[Start | None]] = {entry: [] for entry in folders}
    # The first round puts files into the system's cache and writes bytecode. Neither is counted.
    for turn in range(-1, plan.start_rounds):
        for entry in list(folders) if turn % 2 else list(reversed(folders)):
            skipped = entry in _HEAVY and turn > 0 and turn % _HEAVY_EVERY
            try:
                start = None if skipped else start_once(fleet, entry, _PROGRAMS[entry], folders[entry])
            except RuntimeError as error:
                if entry == OURS or turn >= 0:
                    raise
                fleet.absent[entry.label] = f"not usable: {error}"
                del folders[entry], starts[entry]
                continue
            if turn >= 0:
                starts[entry].append(start)
    return _result(fleet, plan, starts)


def _folders(fleet: Fleet) -> dict[Entry, Path]:
    """What each opens, of those that can run."""
    folders = {entry: fleet.folder(entry) for entry in _PROGRAMS if fleet.can_run(entry)}
    if _FASTTEXTEMBED in folders:
        package = _FASTTEXTEMBED.python.parents[1].glob("lib/python*/site-packages/fasttextembed")
        try:
            if not any(package):
                raise ValueError("not installed (make bench-peers)")
            folders[_FASTTEXTEMBED] = fasttextembed_model.make(fleet.checkpoint, fleet.logs / "fasttextembed")
        except (OSError, KeyError, ValueError) as error:
            del folders[_FASTTEXTEMBED]
            fleet.absent[_FASTTEXTEMBED.label] = str(error)
    return folders


def start_once(fleet: Fleet, entry: Entry, program: str, folder: Path) -> Start:
    """Start a program of `starters.py` in a fresh process, and wait for its vector."""
    # What does not count, at nearly the same moment. One that needs no numpy starts from Python.
    base = _run(fleet, entry, "python_alone" if entry is _FASTTEXTEMBED else "numpy_alone", "", "")["total"]
    answer = _run(fleet, entry, program, folder, QUERY)
    steps = np.diff(1e3 * np.array(answer["done"])).tolist()
    total = answer["total"]
    return Start(total, total - base, *steps, answer["private"], answer["peak"], answer["vector"])


def _run(fleet: Fleet, entry: Entry, program: str, folder: Path | str, text: str) -> dict[str, Any]:
    command = [str(entry.python), str(HERE / "starters.py"), program, str(folder), text]
    # An installed package has its bytecode beside it; one that was never allowed to write any must not count as slower.
    variables = {key: value for key, value in environment().items() if key != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = os.fspath(fleet.logs / "bytecode")
    begun = time.clock_gettime(time.CLOCK_MONOTONIC)
    process = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{entry.label} ended: {(process.stderr.strip().splitlines() or ['no message'])[-1]}")
    answer = json.loads(process.stdout.strip().splitlines()[-1])
    return {**answer, "total": 1e3 * (answer["done"][-1] - begun)}


def _result(fleet: Fleet, plan: Plan, starts: dict[Entry, list[Start | None]]) -> Result:
    result = Result(f"Start, {plan.start_rounds} fresh processes, ms: median (least)")
    result.header = ("", "import", "open", "encode", "start → first vector", "beyond numpy", "private, MB", "peak, MB")
    done = {entry: [start for start in rounds if start] for entry, rounds in starts.items()}
    for entry, rounds in done.items():
        times = (_times(rounds, name) for name in ("imported", "opened", "first", "total", "beyond"))
        sizes = (f"{_median(rounds, name):.0f}" for name in ("private", "peak"))
        result.rows.append((entry.label, *times, *sizes))
        if np.dot(rounds[0].vector, done[OURS][0].vector) < _LEAST_COSINE:
            result.notes.append(f"**{entry.label} has another vector.**")
    result.add_absent(fleet.absent, (entry.label for entry in _PROGRAMS))
    result.notes += [
        "`import` begins after `import numpy`. `start → first vector` is the wall time from before the process was started; "
        "`beyond numpy` is that less the time of a process that only imports numpy, in the same environment just before. "
        f"`private` is `RssAnon` and `peak` is `VmHWM`, both after the first vector. The slow ones ran in every {_HEAVY_EVERY}rd "
        "round.",
        "fasttextembed needs no numpy: what is taken off there is a process that imports nothing. Its weights, which it would "
        "download, were made of the same checkpoint.",
    ]
    result.targets = _targets(starts, done)
    return result


def _targets(starts: dict[Entry, list[Start | None]], done: dict[Entry, list[Start]]) -> list[Target]:
    targets = [
        _at_most("import beyond numpy", _median(done[OURS], "imported"), 50, "ms"),
        _at_most("open the checkpoint", _median(done[OURS], "opened"), 250, "ms"),
    ]
    if _BY_HAND in done:
        opened = {entry: [start.opened for start in starts[entry] if start] for entry in (_BY_HAND, OURS)}
        ratio = paired_ratio(opened[_BY_HAND], opened[OURS])
        targets.append(Target("open: beside Optimum's graph by hand", "≥ 2.0 ×", f"{ratio:.2f} ×", ratio >= 2))
    targets += [
        _at_most("first vector beyond numpy", _median(done[OURS], "beyond"), 500, "ms"),
        _at_most("first vector beyond numpy, low_memory", _median(done[OURS_LOW], "beyond"), 300, "ms"),
        _at_most("private memory after it, low_memory", _median(done[OURS_LOW], "private"), 100, "MB"),
    ]
    for entry in (OURS_BF16, OURS_INT8):
        if entry in done:
            opened = [[start.opened for start in starts[one] if start] for one in (entry, OURS)]
            ratio = paired_ratio(*opened)
            targets.append(Target(f"open: {entry.label} beside fp32", "≤ 1.0 ×", f"{ratio:.2f} ×", ratio <= 1))
    return targets


def _at_most(name: str, value: float, goal: float, unit: str) -> Target:
    return Target(name, f"≤ {goal} {unit}", f"{value:.0f} {unit}", value <= goal)


def _times(rounds: list[Start], name: str) -> str:
    return f"{_median(rounds, name):.0f} ({min(getattr(start, name) for start in rounds):.0f})"


def _median(rounds: list[Start], name: str) -> float:
    return median(getattr(start, name) for start in rounds)
