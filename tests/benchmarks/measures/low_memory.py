"""What `low_memory=True` costs and saves, beside the default."""

from __future__ import annotations

from statistics import median

import texts
from fleet import OURS, OURS_LOW, Fleet
from report import Result
from texts import QUERY

from measures import Plan, paired_ratio

_WARM_UP = 5
_CALLS = 20
_MOST_TEXTS = 128


def measure(fleet: Fleet, plan: Plan) -> Result:
    source = texts.load(plan.cranfield, min(plan.bulk_texts, _MOST_TEXTS))
    # Fresh processes, for their memory.
    workers = {entry.label: fleet.fresh(entry) for entry in (OURS, OURS_LOW)}
    calls: dict[str, list[float]] = {label: [] for label in workers}
    rates: dict[str, list[float]] = {label: [] for label in workers}
    private: dict[str, list[float]] = {label: [] for label in workers}
    peaks = {}
    try:
        for worker in workers.values():
            worker.prepare("query", [QUERY])
            worker.run("query", _WARM_UP)
        for turn in range(plan.query_rounds):
            for label in _order(workers, turn):
                answer = workers[label].run("query", _CALLS)
                calls[label].append(1e3 * median(answer["seconds"]))
        for label, worker in workers.items():
            private[label].append(worker.run("query")["private"])
            worker.prepare("bulk", source.passages)
        for turn in range(plan.bulk_rounds):
            for label in _order(workers, turn):
                answer = workers[label].run("bulk")
                rates[label].append(len(source.passages) / answer["seconds"][0])
                peaks[label] = answer["peak"]
        for label, worker in workers.items():
            private[label].append(worker.run("query")["private"])
    finally:
        for worker in workers.values():
            worker.stop()
    result = Result(f"low_memory: one query, and {source.origin}")
    result.header = ("", "query p50, ms", "ratio", "texts/s", "ratio", "private, MB", "after bulk", "peak, MB")
    for label in workers:
        slower = paired_ratio(calls[label], calls[OURS.label])
        faster = paired_ratio(rates[label], rates[OURS.label])
        query = (f"{median(calls[label]):.2f}", f"{slower:.2f} ×")
        bulk = (f"{median(rates[label]):.1f}", f"{faster:.2f} ×")
        result.rows.append((label, *query, *bulk, *(f"{size:.0f}" for size in (*private[label], peaks[label]))))
    result.notes.append("`private` is `RssAnon` after the queries, then after bulk; `peak` is `VmHWM` at the end.")
    return result


def _order(workers: dict[str, object], turn: int) -> list[str]:
    return list(workers) if turn % 2 else list(reversed(workers))
