"""BGE-M3: what the other two outputs cost beside dense vectors, where a call's time goes, and FlagEmbedding's dicts."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import random_xlmr
import texts
from fleet import FLAG_EMBEDDING, Entry, Fleet, Worker
from report import Result, Target

from measures import Plan, paired_ratio

OURS_M3 = Entry("bge-fast, M3", "m3_competitors.Ours", ".venv")
_DICTS = Entry("FlagEmbedding, dicts", "m3_competitors.FlagEmbeddingDicts", FLAG_EMBEDDING.environment)
_TEXTS = 32
_TOKENS = 512
_XLMR_WORDS = 250002
_DICT_ROUNDS = 15
_CALLS = {"dense": "dense alone", "everything": "dense, sparse and ColBERT"}
_MOST_TIME = 1.10
_MOST_AFTER = 0.03
_FASTER_DICTS = 2.0


def measure(fleet: Fleet, plan: Plan) -> Result:
    folder = random_xlmr.make(fleet.logs / f"m3-large-{plan.m3_layers}", random_xlmr.m3(plan.m3_layers))
    work = texts.of_at_least(_TOKENS, _TEXTS)
    result = Result(f"M3: {_TEXTS} texts of {_TOKENS} tokens, {plan.m3_layers} layers of its shape, random weights")
    result.header = ("", "time, s", "beside dense", "before the graph", "graph", "after", "after, of the call")
    worker = fleet.fresh(OURS_M3, folder)
    try:
        for job in _CALLS:
            assert worker.prepare(job, work)["lengths"] == [_TOKENS]
        seconds: dict[str, list[float]] = {job: [] for job in _CALLS}
        parts: dict[str, list[list[float]]] = {job: [] for job in _CALLS}
        for turn in range(plan.m3_rounds):
            for job in list(_CALLS) if turn % 2 else list(reversed(_CALLS)):
                answer = worker.run(job, rows=4)
                seconds[job].append(answer["seconds"][0])
                parts[job].append(answer["vectors"])
        for job, label in _CALLS.items():
            before, graph, after, _ = np.median(parts[job], axis=0)
            share = _share(seconds[job], parts[job])
            ratio = paired_ratio(seconds[job], seconds["dense"])
            times = (f"{one:.2f} s" for one in (before, graph, after))
            row = (label, f"{median(seconds[job]):.1f}", f"{ratio:.3f} ×", *times, f"{100 * share:.2f} %")
            result.rows.append(row)
        result.notes = [
            f"`encode_vectors`, {plan.m3_rounds} interleaved rounds: medians, and the median of the rounds' ratios. The clock is "
            "read around every `Run` of ONNX Runtime in these very calls (`run_clock.py`): *before* is what comes before the "
            "first, *after* what lies between the end of one and the beginning of the next in the same thread, and between the "
            "end of the last one and that of the call. Seconds of threads side by side count once."
        ]
        ratio, share = (
            paired_ratio(seconds["everything"], seconds["dense"]),
            _share(seconds["everything"], parts["everything"]),
        )
        result.targets = [
            Target(
                "M3: all outputs beside dense alone", f"≤ {_MOST_TIME:.2f} ×", f"{ratio:.3f} ×", ratio <= _MOST_TIME
            ),
            Target(
                "M3: share after the graph",
                f"≤ {100 * _MOST_AFTER:.0f} %",
                f"{100 * share:.2f} %",
                share <= _MOST_AFTER,
            ),
        ]
        _compare_dicts(result, fleet, worker, folder)
    finally:
        worker.stop()
    return result


def _share(seconds: list[float], parts: list[list[float]]) -> float:
    return median(after / whole for whole, (_, _, after, _) in zip(seconds, parts, strict=True))


def _compare_dicts(result: Result, fleet: Fleet, ours: Worker, folder: Path) -> None:
    """The same token weights turned into dicts here and there."""
    if not _DICTS.python.is_file():
        result.notes.append("Dicts: skipped, FlagEmbedding is not installed (make bench-peers).")
        return
    try:
        theirs = fleet.fresh(_DICTS, folder)
    except RuntimeError as error:
        result.notes.append(f"Dicts: skipped, {error}")
        return
    try:
        for label, tokens in _token_weights().items():
            tables = [worker.prepare("dicts", tokens)["dicts"] for worker in (ours, theirs)]
            assert tables[0] == tables[1], "the dicts differ"
            times: list[list[float]] = [[], []]
            for turn in range(_DICT_ROUNDS):
                for index in (0, 1) if turn % 2 else (1, 0):
                    times[index].append(1e3 * min((ours, theirs)[index].run("dicts", 3)["seconds"]))
            faster = paired_ratio(times[1], times[0])
            result.notes.append(
                f"Dicts of {_TEXTS} texts of {_TOKENS} tokens, {label}, {sum(map(len, tables[0]))} entries: bge-fast "
                f"{median(times[0]):.1f} ms, FlagEmbedding {median(times[1]):.1f} ms. The dicts are equal."
            )
            result.targets.append(
                Target(f"M3: dicts, {label}", f"≥ {_FASTER_DICTS} ×", f"{faster:.1f} ×", faster >= _FASTER_DICTS)
            )
    finally:
        theirs.stop()


def _token_weights() -> dict[str, list[Any]]:
    """Ids and weights of texts: as natural language repeats them, and with as many entries as there can be."""
    source = np.random.default_rng(_TOKENS)
    shape = (_TEXTS, _TOKENS)
    weights = source.standard_normal(shape, np.float32)
    # Zipf's law, beyond the special ids.
    repeated = 4 + source.zipf(1.2, shape) % (_XLMR_WORDS - 4)
    distinct = 4 + np.array([source.permutation(_XLMR_WORDS - 4)[:_TOKENS] for _ in range(_TEXTS)])
    return {
        "repeated ids, half the weights positive": [repeated.tolist(), weights.tolist()],
        "no id twice, all weights positive": [distinct.tolist(), (np.abs(weights) + 1e-3).tolist()],
    }
