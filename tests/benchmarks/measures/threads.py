"""Single calls from many threads at once, beside the same behind one lock."""

from __future__ import annotations

from fleet import OURS, Fleet
from jobs import CALLERS
from report import Result
from texts import QUERY

from measures import Plan, paired_ratio

_JOBS = {"threads": "bge-fast as it is", "threads_locked": "with a lock around each call"}


def measure(fleet: Fleet, plan: Plan) -> Result:
    worker = fleet.start((OURS,))[OURS.label]
    calls = CALLERS * plan.calls_per_thread
    for job in _JOBS:
        worker.prepare(job, [QUERY] * calls)
    rates: dict[str, list[float]] = {job: [] for job in _JOBS}
    for turn in range(plan.thread_rounds):
        for job in list(_JOBS) if turn % 2 else list(reversed(_JOBS)):
            rates[job].append(calls / worker.run(job)["seconds"][0])
    result = Result(f"{CALLERS} threads × {plan.calls_per_thread} single calls", ("", "queries/s, best", "ratio"))
    for job, label in _JOBS.items():
        ratio = paired_ratio(rates[job], rates["threads_locked"])
        result.rows.append((label, f"{max(rates[job]):.0f}", f"{ratio:.2f} ×"))
    return result
