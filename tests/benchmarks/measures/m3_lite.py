"""BGE-M3 beside the package bge-m3-lite, on the same random weights: bulk, short queries, memory for a long text."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import cranfield
import gemm
import numpy as np
import random_xlmr
import texts
from fleet import Entry, Fleet, Worker, run_script
from report import Result, Target

from measures import Plan, paired_ratio
from measures.m3 import OURS_M3

LITE = Entry("bge-m3-lite", "m3_competitors.Lite", ".venv-peers")
_TEXTS = 64
_QUERIES = 8
_QUERY_ROUNDS_A_ROUND = 8
_CHECKED = 4
_TOKENS = 512
_LONG = 8192
_SIZES = [1024, 4096]
_GEMM_REPEATS = 5
_GEMMS = ("gemm_numpy", "gemm_onnxruntime")
_TIMED = {"bulk": _TEXTS, "queries": _QUERIES, "dense_queries": _QUERIES}
_FASTER_QUERIES = 1.3


def measure(fleet: Fleet, plan: Plan) -> Result:
    layers = plan.m3_layers
    result = Result(f"M3 beside bge-m3-lite: {layers} layers of its shape, random weights")
    ours = random_xlmr.make(fleet.logs / f"m3-large-{layers}", random_xlmr.m3(layers))
    try:
        folders = {OURS_M3: ours, LITE: _make_lite(ours, fleet.logs / f"m3-lite-{layers}")}
    except RuntimeError as error:
        result.notes.append(f"Skipped: {error}")
        return result
    passages = texts.first_halves(texts.load(plan.cranfield, _TEXTS).passages)
    queries = texts.first_halves(_queries(plan.cranfield))
    workers = [fleet.fresh(entry, folder) for entry, folder in folders.items()]
    try:
        rates, peak = _time(workers, plan.m3_rounds, passages, queries)
        difference = _difference(workers, passages[:_CHECKED])
    finally:
        for worker in workers:
            worker.stop()
    memories = [_long_memory(fleet, entry, folder) for entry, folder in folders.items()]
    counts = [texts.token_counts(chosen, ours, _TOKENS) for chosen in (passages, queries)]
    per_text = (gemm.encoder_gigaflops(counts[0], ours) + sum(counts[0]) * 2e-9 * _SIZES[0] ** 2) / _TEXTS
    result.header = (
        "",
        "texts/s",
        "of the GEMM peak",
        "query, ms",
        "dense alone",
        "opening, MB",
        "long, MB",
        "private, MB",
    )
    for index, entry in enumerate(folders):
        bulk = rates["bulk"][index]
        each = (f"{1e3 / median(rates[job][index]):.0f}" for job in ("queries", "dense_queries"))
        share = f"{100 * max(bulk) * per_text / peak:.0f} %"
        result.rows.append(
            (entry.label, f"{median(bulk):.2f}", share, *each, *(f"{one:.0f}" for one in memories[index]))
        )
    result.notes = [
        f"{_TEXTS} texts of {np.mean(counts[0]):.0f} tokens in the mean, {max(counts[0])} at most, and {_QUERIES} queries of "
        f"{np.mean(counts[1]):.0f}, one a call: halves of Cranfield's, as the small vocabulary makes about twice as many tokens "
        "of a word as XLM-R's; dense, sparse and ColBERT, and queries also dense alone. "
        f"{plan.m3_rounds} interleaved rounds; {per_text:.0f} GFLOP a text, {peak:.0f} GFLOP/s in matrix products of 512 tokens "
        "at these widths; shares are of the best round.",
        f"Memory is that of fresh processes: *opening* the most resident until the model is open, *long* the most resident "
        f"while one text of {_LONG:,} tokens gets all outputs, *private* the most private (`RssAnon`) then.",
        "bge-m3-lite runs as its users have it: its own `fuse` made its graph of a torch export of the same weights; only the "
        f"check of its files' digests is left out. Outputs differ by {difference:.0e} at most.",
    ]
    result.targets = _targets(rates, memories)
    return result


def _make_lite(checkpoint: Path, folder: Path) -> Path:
    """Its files, made in its environment."""
    if not LITE.python.is_file():
        raise RuntimeError("bge-m3-lite is not installed (make bench-peers).")
    run_script(LITE, "m3_lite_model.py", checkpoint, folder)
    return folder


def _queries(folder: Path) -> list[str]:
    return cranfield.load(folder).queries[:_QUERIES] if cranfield.is_there(folder) else [texts.QUERY] * _QUERIES


def _time(
    workers: list[Worker], rounds: int, passages: list[str], queries: list[str]
) -> tuple[dict[str, list[list[float]]], float]:
    """Texts/s of each job, worker and round; and the best rate of matrix products, in GFLOP/s."""
    for worker in workers:
        for job in _TIMED:
            worker.prepare(job, passages if job == "bulk" else queries)
        for job in ("queries", "dense_queries"):
            worker.run(job)
    gigaflops = {job: workers[1].prepare(job, _SIZES)["gigaflops"] for job in _GEMMS}
    rates: dict[str, list[list[float]]] = {job: [[], []] for job in _TIMED}
    peak = 0.0
    for turn in range(rounds):
        for job, count in _TIMED.items():
            for part in range(1 if job == "bulk" else _QUERY_ROUNDS_A_ROUND):
                for index in (0, 1) if (turn + part) % 2 else (1, 0):
                    rates[job][index].append(count / workers[index].run(job)["seconds"][0])
        for job, work in gigaflops.items():
            peak = max(peak, work / min(workers[1].run(job, _GEMM_REPEATS)["seconds"]))
    return rates, peak


def _difference(workers: list[Worker], passages: list[str]) -> float:
    rows = []
    for worker in workers:
        worker.prepare("check", passages)
        rows.append(worker.run("check", rows=len(passages))["vectors"])
    return float(np.abs(np.subtract(*rows)).max())


def _long_memory(fleet: Fleet, entry: Entry, folder: Path) -> list[float]:
    """Most resident memory until the model is open; most resident and most private while it encodes one long text."""
    worker = fleet.fresh(entry, folder)
    try:
        opened = worker.prepare("long", texts.of_at_least(_LONG, 1))["peak"]
        return [opened, *worker.run("long", rows=2)["vectors"]]
    finally:
        worker.stop()


def _targets(rates: dict[str, list[list[float]]], memories: list[list[float]]) -> list[Target]:
    bulk, queries = (paired_ratio(*rates[job]) for job in ("bulk", "queries"))
    ours, theirs = (most for _, most, _ in memories)
    label = "M3 beside bge-m3-lite"
    return [
        Target(f"{label}: {_TEXTS} abstracts", "≥ 1.0 ×", f"{bulk:.2f} ×", bulk >= 1),
        Target(f"{label}: short queries", f"≥ {_FASTER_QUERIES} ×", f"{queries:.2f} ×", queries >= _FASTER_QUERIES),
        Target(f"{label}: memory at {_LONG:,} tokens", f"≤ {theirs:.0f} MB", f"{ours:.0f} MB", ours <= theirs),
    ]
