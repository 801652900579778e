"""Time of one short query, and what our part of it adds to the bare graph."""

from __future__ import annotations

from statistics import median, quantiles

from fleet import ENTRIES, OURS, OURS_EXPORTED, RAW, Fleet
from report import Result, Target
from texts import QUERY

from measures import Plan, paired_ratio

_FAST = 20
_SLOW = 4
_OVERHEAD = 0.05
_WARM_UP = 5


def measure(fleet: Fleet, plan: Plan) -> Result:
    workers = fleet.start(ENTRIES)
    tokens = [workers[label].prepare("query", [QUERY]).get("tokens") for label in workers]
    for worker in workers.values():
        worker.run("query", _WARM_UP)
    seconds: dict[str, list[list[float]]] = {label: [] for label in workers}
    for turn in range(plan.query_rounds):
        # Whoever comes first in a round changes, so that nobody always follows the same neighbour.
        order = list(workers) if turn % 2 else list(reversed(workers))
        for label in order:
            repeats = _FAST if label in (OURS.label, OURS_EXPORTED.label, RAW.label) else _SLOW
            seconds[label].append(workers[label].run("query", repeats)["seconds"])
    return _result(fleet, seconds, next((count[0] for count in tokens if count), None))


def _result(fleet: Fleet, seconds: dict[str, list[list[float]]], tokens: int | None) -> Result:
    result = Result(f"One query of {tokens or 12} tokens", ("", "p50, ms", "p95, ms", "time beside bge-fast's"))
    medians = {label: [median(one) for one in rounds] for label, rounds in seconds.items()}
    for label, rounds in seconds.items():
        calls = [1e3 * call for one in rounds for call in one]
        ratio = paired_ratio(medians[label], medians[OURS.label])
        result.rows.append((label, f"{median(calls):.2f}", f"{quantiles(calls, n=20)[-1]:.2f}", f"{ratio:.2f} ×"))
    result.add_absent(fleet.absent, (entry.label for entry in ENTRIES))
    if RAW.label in medians:
        overhead = paired_ratio(medians[OURS.label], medians[RAW.label]) - 1
        result.targets.append(
            Target(
                "one query: time over the bare session",
                f"≤ {100 * _OVERHEAD:.0f} %",
                f"{100 * overhead:+.1f} %",
                overhead <= _OVERHEAD,
            )
        )
    return result
