"""Pairs a second of one query and 100 passages, at the shape of bge-reranker-base."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import cranfield
import numpy as np
import random_xlmr
import texts
from fleet import FLAG_EMBEDDING, OURS, ST_TORCH, Entry, Fleet, Worker
from report import Result, Target

from measures import Plan, paired_ratio

_OURS = Entry("bge-fast, reranker", "rerankers.Ours", OURS.environment)
_THEIRS = Entry("FlagEmbedding, reranker", "rerankers.FlagEmbedding", FLAG_EMBEDDING.environment)
_CROSS_ENCODER = Entry("sentence-transformers, CrossEncoder, torch", "rerankers.CrossEncoder", ST_TORCH.environment)
_PASSAGES = 100
_AT_LEAST = 2.0


def measure(fleet: Fleet, plan: Plan) -> Result:
    shape = random_xlmr.reranker_base(plan.rerank_layers)
    folder = random_xlmr.make(fleet.logs / f"reranker-base-{shape.layers}", shape)
    query = cranfield.load(plan.cranfield).queries[0] if cranfield.is_there(plan.cranfield) else texts.QUERY
    source = texts.load(plan.cranfield, _PASSAGES)
    (query,), passages = texts.first_halves([query]), texts.first_halves(source.passages)
    pairs = [[query, passage] for passage in passages]
    result = Result(
        f"Reranking: one query, {source.origin}; {shape.layers} layers of bge-reranker-base's shape, random weights"
    )
    result.header = ("", "pairs/s", "best", "bge-fast is", "peak memory, MB", "logits differ by")
    workers: dict[Entry, Worker] = {}
    absent: dict[str, str] = {}
    try:
        for entry in (_OURS, _THEIRS, _CROSS_ENCODER):
            _start(fleet, entry, folder, pairs, workers, absent)
        rates: dict[Entry, list[float]] = {entry: [] for entry in workers}
        answers = {}
        for turn in range(plan.rerank_rounds):
            for entry in list(workers) if turn % 2 else list(reversed(workers)):
                answers[entry] = workers[entry].run("pairs", rows=len(pairs))
                rates[entry].append(len(pairs) / answers[entry]["seconds"][0])
    finally:
        for worker in workers.values():
            worker.stop()
    for entry, rate in rates.items():
        faster = paired_ratio(rates[_OURS], rate)
        difference = np.abs(np.subtract(answers[entry]["vectors"], answers[_OURS]["vectors"])).max()
        numbers = (f"{median(rate):.2f}", f"{max(rate):.2f}", f"{faster:.2f} ×", f"{answers[entry]['peak']:.0f}")
        result.rows.append((entry.label, *numbers, f"{difference:.0e}"))
        if entry is _THEIRS:
            met = faster >= _AT_LEAST
            result.targets.append(Target("reranking: FlagEmbedding", f"≥ {_AT_LEAST} ×", f"{faster:.2f} ×", met))
    result.add_absent(absent, absent)
    lengths = np.add(texts.token_counts(passages, folder), texts.token_counts([query], folder)[0])
    result.notes.append(
        f"{plan.rerank_rounds} interleaved rounds: medians, ratios of the same round. {lengths.mean():.0f} tokens a pair in the "
        f"mean, {lengths.max()} at most: of each text the first half, as the small vocabulary makes about twice as many tokens of "
        "a word as XLM-R's. All score logits with the settings that a user gets."
    )
    return result


def _start(
    fleet: Fleet,
    entry: Entry,
    folder: Path,
    pairs: list[list[str]],
    workers: dict[Entry, Worker],
    absent: dict[str, str],
) -> None:
    """Start it and let it score two pairs; `absent` says why if it cannot."""
    if not entry.python.is_file():
        absent[entry.label] = "not installed (make bench-peers)"
        return
    try:
        worker = workers[entry] = fleet.fresh(entry, folder)
        worker.prepare("pairs", pairs[:2])
        worker.run("pairs")
        worker.prepare("pairs", pairs)
    except RuntimeError as error:
        if entry is _OURS:
            raise
        workers.pop(entry, None)
        absent[entry.label] = f"not usable: {error}"
