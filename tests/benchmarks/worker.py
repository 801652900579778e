"""Runs one competitor: `worker.py <module.Class> <folder>`.

Answers each JSON line on standard input with one on standard output: the first with facts, then jobs that are prepared
and run as the lines say. Whatever the libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import memory
import numpy as np
from jobs import Job


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module, _, name = sys.argv[1].rpartition(".")
    competitor = getattr(import_module(module), name)(Path(sys.argv[2]))
    print(json.dumps({"facts": competitor.facts()}), file=answers)
    jobs: dict[str, Job] = {}
    for line in sys.stdin:
        print(json.dumps(answer(competitor, jobs, json.loads(line))), file=answers)


def answer(competitor: Any, jobs: dict[str, Job], asked: dict[str, Any]) -> dict[str, Any]:
    """Prepare a job, or run one some times."""
    name = asked["job"]
    if "work" in asked:
        job = jobs[name] = getattr(competitor, name)(asked["work"])
        return {"facts": job.facts}
    seconds = []
    result = None
    for _ in range(asked["repeats"]):
        start = time.perf_counter()
        result = jobs[name].run()
        seconds.append(time.perf_counter() - start)
    # Read before the answer is made, which takes memory too.
    peak, private = memory.peak(), memory.private()
    vectors = np.asarray(result)[: asked["rows"]].tolist() if asked["rows"] else None
    return {"seconds": seconds, "peak": peak, "private": private, "vectors": vectors}


if __name__ == "__main__":
    main()
