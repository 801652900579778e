"""What it saves to compute only the first token's state in the last layer: the same graph with and without."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import texts
from fleet import Entry, Fleet, Worker
from report import Result, Target

from measures import Plan

PRUNED = Entry("pruned", "graphs.Pruned", ".venv")
WHOLE = Entry("whole", "graphs.Whole", ".venv")
_TEXTS = 128
_BATCHES = {
    "one text of 12 tokens": [12],
    "one text of 64 tokens": [64],
    "one text of 512 tokens": [512],
    "32 texts of 16 tokens": [16] * 32,
    "32 texts of 8 – 16 tokens, padded": [8 + row % 9 for row in range(32)],
    "4 texts of 96 – 128 tokens, padded": [96, 107, 118, 128],
}
_MOST_REPEATS = 20
_TOKENS_A_ROUND = 1500
# Bulk takes long and scatters less.
_ROUNDS_A_BULK = 4
_AT_LEAST = {"bge-small-en-v1.5": 1.04, "bge-small-zh-v1.5": 1.10}
_DIFFERENCE = 1e-5


def measure(fleet: Fleet, plan: Plan) -> Result:
    source = texts.load(plan.cranfield, min(_TEXTS, plan.bulk_texts))
    bulk = texts.token_counts(source.passages, fleet.checkpoint)
    result = Result("The last layer pruned to the first token, beside the whole one")
    result.header = ("", "whole, ms", "pruned, ms", "pruned is", "middle half of the rounds")
    result.notes.append(
        f"Our own graphs in Python's onnxruntime with bge-fast's options; random ids; bulk has the lengths of the "
        f"{source.origin}, {len(bulk)} texts sorted and cut at 512 tokens, one thread a run. {plan.pruning_rounds} interleaved "
        f"rounds, bulk {_bulk_rounds(plan)}. Times are medians, ratios medians of the rounds' ratios."
    )
    for name, goal in _AT_LEAST.items():
        folder = fleet.checkpoint.parent / name
        if (folder / "config.json").is_file():
            _measure_one(result, fleet, plan, folder, bulk, goal)
        else:
            result.notes.append(f"{name}: skipped, the checkpoint is not on this machine.")
    return result


def _measure_one(result: Result, fleet: Fleet, plan: Plan, folder: Path, bulk: list[int], goal: float) -> None:
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    workers = [fleet.fresh(entry, folder) for entry in (WHOLE, PRUNED)]
    worst: tuple[float, str] = (np.inf, "")
    try:
        for name, lengths in _BATCHES.items():
            repeats = max(3, min(_MOST_REPEATS, _TOKENS_A_ROUND // sum(lengths)))
            ratio, spread = _compare(
                result, f"{folder.name}, {name}", workers, "batch", lengths, plan.pruning_rounds, repeats
            )
            worst = min(worst, (ratio, f"{ratio:.2f} × ({spread}): {name}"))
            _check(result, workers, lengths)
        name = f"{folder.name}, bulk"
        ratio, spread = _compare(result, name, workers, "bulk", bulk, _bulk_rounds(plan), 1)
    finally:
        for worker in workers:
            worker.stop()
    label = f"pruning, {folder.name} ({layers} layers)"
    # The clock of two runs of the same thing differs by a hundredth here.
    result.targets.append(Target(f"{label}: least of all batches", "≥ 1.0 × within 1 %", worst[1], worst[0] >= 0.99))
    result.targets.append(Target(f"{label}: bulk", f"≥ {goal:.2f} ×", f"{ratio:.2f} × ({spread})", ratio >= goal))


def _compare(
    result: Result, name: str, workers: list[Worker], job: str, lengths: list[int], rounds: int, repeats: int
) -> tuple[float, str]:
    """A row; returns the ratio and its spread."""
    for worker in workers:
        worker.prepare(job, lengths)
        worker.run(job)
    times: list[list[float]] = [[], []]
    for turn in range(rounds):
        for index in (0, 1) if turn % 2 else (1, 0):
            times[index].append(1e3 * median(workers[index].run(job, repeats)["seconds"]))
    ratios = [whole / pruned for whole, pruned in zip(*times, strict=True)]
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    ratio, spread = median(ratios), f"{low:.2f} – {high:.2f}"
    result.rows.append((name, *(f"{median(one):.2f}" for one in times), f"{ratio:.2f} ×", spread))
    return ratio, spread


def _check(result: Result, workers: list[Worker], lengths: list[int]) -> None:
    """Both give the same vectors."""
    vectors = []
    for worker in workers:
        worker.prepare("vectors", lengths)
        vectors.append(worker.run("vectors", rows=len(lengths))["vectors"])
    difference = np.abs(np.subtract(*vectors)).max()
    if difference > _DIFFERENCE:
        result.notes.append(f"**Vectors of {lengths} differ by {difference:.0e}.**")


def _bulk_rounds(plan: Plan) -> int:
    return max(1, plan.pruning_rounds // _ROUNDS_A_BULK)
