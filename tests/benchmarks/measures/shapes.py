"""Larger shapes with random weights, in each precision: one query, abstracts in bulk, a reranker's pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median

import random_xlmr
import texts
from fleet import OURS, OURS_BF16, OURS_INT8, Entry, Fleet, Worker
from report import Result

from measures import Plan, paired_ratio

_EMBEDDERS = {"bge-base": random_xlmr.base, "BGE-M3": random_xlmr.m3}
_RERANKERS = {"bge-reranker-v2-m3": random_xlmr.reranker_m3}
_CALLS = 5


def measure(fleet: Fleet, plan: Plan) -> Result:
    ours = (OURS, *([fleet.other] if fleet.other else []), OURS_BF16, OURS_INT8)
    source = texts.load(plan.cranfield, max(plan.shape_texts, plan.shape_pairs))
    halves = texts.first_halves(source.passages)
    result = Result("Larger shapes, random weights")
    result.header = ("", "", "ms or a second", "speed", "peak memory, MB")
    for name, shape in {**_EMBEDDERS, **_RERANKERS}.items():
        whole = shape(24)
        work: dict[str, list[object]] = {"query": [texts.QUERY], "bulk": [*halves[: plan.shape_texts]]}
        entries = ours
        if whole.kind == "reranker":
            work = {"pairs": [[texts.QUERY, half] for half in halves[: plan.shape_pairs]]}
            entries = tuple(
                replace(entry, competitor=entry.competitor.replace("competitors", "rerankers")) for entry in ours
            )
        cut = replace(whole, layers=min(whole.layers, plan.shape_layers))
        folder = random_xlmr.make(fleet.logs / f"random-{name}-{cut.layers}", cut)
        at_shape(fleet, plan, result, f"{name}, {cut.layers} layers", folder, entries, work)
    result.notes.append(
        f"{plan.shape_rounds} interleaved rounds: medians, and medians of the rounds' ratios to the first row of each shape, larger "
        f"is faster. A query is {texts.QUERY!r}; of each abstract the first half, as the small vocabulary makes about twice as "
        "many tokens of a word as XLM-R's. `peak` is `VmHWM` at the end."
    )
    return result


def at_shape(
    fleet: Fleet,
    plan: Plan,
    result: Result,
    name: str,
    folder: Path,
    entries: tuple[Entry, ...],
    work: dict[str, list[object]],
) -> None:
    """Add rows of what each entry takes for each job, in turns."""
    workers: dict[str, Worker] = {}
    seconds: dict[str, dict[str, list[float]]] = {job: {} for job in work}
    peaks: dict[str, float] = {}
    try:
        for entry in entries:
            try:
                worker = workers[entry.label] = fleet.fresh(entry, folder)
                for job, given in work.items():
                    worker.prepare(job, given[:2])
                    worker.run(job)
                    worker.prepare(job, given)
                    seconds[job][entry.label] = []
            except RuntimeError as error:
                if entry.label == OURS.label:
                    raise
                workers.pop(entry.label, None)
                result.notes.append(f"{name}: {entry.label}: not usable: {error}")
        for turn in range(plan.shape_rounds):
            for label in list(workers) if turn % 2 else list(reversed(workers)):
                for job in work:
                    answer = workers[label].run(job, _CALLS if job == "query" else 1)
                    seconds[job][label].append(median(answer["seconds"]))
                    peaks[label] = answer["peak"]
    finally:
        for worker in workers.values():
            worker.stop()
    for job, given in work.items():
        base = seconds[job][fleet.other.label if fleet.other and fleet.other.label in workers else OURS.label]
        for label in workers:
            own = seconds[job][label]
            amount = f"{1e3 * median(own):.1f} ms" if job == "query" else f"{len(given) / median(own):.2f} /s"
            title = {"query": "one query", "bulk": f"{len(given)} abstracts", "pairs": f"1 × {len(given)} pairs"}[job]
            row = (f"{name}: {title}", label, amount, f"{paired_ratio(base, own):.2f} ×", f"{peaks[label]:.0f}")
            result.rows.append(row)
