"""Single calls from many threads at once, beside the same behind one lock."""

from __future__ import annotations

from statistics import median

import numpy as np
from fleet import OURS, OURS_BF16, OURS_INT8, Fleet
from jobs import CALLERS
from numpy.typing import NDArray
from report import Result
from texts import QUERY

from measures import Plan, paired_ratio

_LOCKED = "threads_locked"
_JOBS = {"threads": "", _LOCKED: ", a lock around each call"}
_WARM_UP = 2 * CALLERS


def measure(fleet: Fleet, plan: Plan) -> Result:
    entries = (OURS, *([fleet.other] if fleet.other else []), OURS_BF16, OURS_INT8)
    workers = fleet.start(entries)
    calls = CALLERS * plan.calls_per_thread
    seconds: dict[tuple[str, str], list[float]] = {}
    latencies: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for label, worker in workers.items():
        for job in _JOBS:
            worker.prepare(job, [QUERY] * _WARM_UP)
            worker.run(job)
            worker.prepare(job, [QUERY] * calls)
            seconds[label, job], latencies[label, job] = [], []
    for turn in range(plan.thread_rounds):
        for label, job in list(seconds) if turn % 2 else list(reversed(seconds)):
            answer = workers[label].run(job, rows=calls)
            seconds[label, job].append(answer["seconds"][0])
            latencies[label, job].append(np.array(answer["vectors"]))
    return _result(fleet, plan, [entry.label for entry in entries], seconds, latencies)


def _result(
    fleet: Fleet,
    plan: Plan,
    labels: list[str],
    seconds: dict[tuple[str, str], list[float]],
    latencies: dict[tuple[str, str], list[NDArray[np.float64]]],
) -> Result:
    base = fleet.other.label if fleet.other and (fleet.other.label, _LOCKED) in seconds else OURS.label
    result = Result(f"{CALLERS} threads × {plan.calls_per_thread} single calls")
    result.header = (
        "",
        "queries/s",
        "beside its lock",
        f"beside {base}",
        "p50, ms",
        "p99, ms",
        "p99 beside its lock's",
    )
    for (label, job), times in seconds.items():
        calls, locked = ([_p99(one) for one in latencies[label, name]] for name in (job, _LOCKED))
        row = (
            label + _JOBS[job],
            f"{CALLERS * plan.calls_per_thread / median(times):.0f}",
            f"{paired_ratio(seconds[label, _LOCKED], times):.2f} ×",
            f"{paired_ratio(seconds[base, 'threads'], times):.2f} ×",
            f"{1e3 * np.median(np.concatenate(latencies[label, job])):.0f}",
            f"{1e3 * median(calls):.0f}",
            f"{paired_ratio(calls, locked):.2f} ×",
        )
        result.rows.append(row)
    result.add_absent(fleet.absent, labels)
    result.notes.append(
        f"{plan.thread_rounds} interleaved rounds: medians, and medians of the rounds' ratios; rates: larger is faster. "
        "Times are those of each call, waiting included."
    )
    return result


def _p99(calls: NDArray[np.float64]) -> float:
    return float(np.quantile(calls, 0.99))
