"""Where bge-fast stands: every package in one table, each at the settings that are best for it, ratios beside one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median, quantiles

import cranfield
import gemm
import numpy as np
import texts
from fleet import OURS, OURS_BF16, OURS_INT8, RAW, Entry, Fleet, Worker
from numpy.typing import NDArray
from report import Result

from measures import Plan, paired_ratio
from measures.start import start_once

_PEERS = ".venv-peers"
_ENTRIES = (
    OURS,
    OURS_BF16,
    OURS_INT8,
    Entry("fastembed, fp32, batch 1", "packages.FastEmbed", _PEERS, form="plain"),
    Entry("fastembed, fp32, its default", "packages.FastEmbedDefault", _PEERS, form="plain"),
    Entry("libembedding-ng, fp32, batch 4", "packages.LibEmbedding", _PEERS, form="plain"),
    Entry("libembedding-ng, dynamic int8", "packages.LibEmbedding", _PEERS, form="dynamic"),
    Entry("onnxruntime by hand, fp32", "engines.OnnxRuntime", _PEERS, form="plain"),
    Entry("onnxruntime by hand, dynamic int8", "engines.OnnxRuntime", _PEERS, form="dynamic"),
    Entry("OpenVINO by hand, fp32", "engines.OpenVino", _PEERS, form="plain"),
    Entry("OpenVINO by hand, bf16", "engines.OpenVinoBf16", _PEERS, form="plain"),
    Entry("OpenVINO by hand, NNCF int8", "engines.OpenVinoInt8", _PEERS, form="static"),
)
_PROGRAMS = {OURS.label: "ours", OURS_BF16.label: "ours_bf16", OURS_INT8.label: "ours_int8"}
_QUERIES, _PASSAGES = 150, 128
_GEMMS = {
    "gemm_onnxruntime": "fp32, all threads",
    "gemm_onnxruntime_one": "fp32, one thread",
    "gemm_int8": "int8, all threads",
    "gemm_int8_one": "int8, one thread",
}
_GEMM_REPEATS = 5


@dataclass
class Turns:
    """What one entry took, round by round."""

    queries: list[NDArray[np.float64]] = field(default_factory=list)
    """Seconds of each call."""
    bulk: list[float] = field(default_factory=list)
    mixed: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    """Milliseconds from before the process was started to its first vector."""
    peak: float = 0.0
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def p50(self) -> list[float]:
        return [float(np.median(calls)) for calls in self.queries]


def measure(fleet: Fleet, plan: Plan) -> Result:
    entries = (OURS, *([fleet.other] if fleet.other else []), *_ENTRIES[1:])
    source = texts.load(plan.cranfield, min(plan.bulk_texts, _PASSAGES))
    there = cranfield.is_there(plan.cranfield)
    queries = (cranfield.load(plan.cranfield).queries if there else texts.generate(_QUERIES))[: plan.peer_queries]
    work = {"singles": queries, "bulk": source.passages}
    # Its peak memory is that of the work above; of these texts only the speed counts.
    late = {"mixed": texts.mixed(len(source.passages))}
    turns: dict[str, Turns] = {}
    workers: dict[str, Worker] = {}
    for label, worker in fleet.start(entries).items():
        try:
            for job, given in work.items():
                worker.prepare(job, given)
                worker.run(job)
            workers[label], turns[label] = worker, Turns(peak=worker.run("bulk")["peak"])
            worker.prepare("mixed", late["mixed"])
        except RuntimeError as error:
            fleet.drop(label, f"not usable: {error}")
    peaks: dict[str, float] = {}
    for turn in range(plan.peer_rounds):
        peaks = {job: max(rate, peaks.get(job, 0)) for job, rate in _gemm_rates(fleet).items()}
        for label in list(workers) if turn % 2 else list(reversed(workers)):
            _take_turn(workers[label], turns[label], queries, source.passages)
    for turn in range(plan.start_rounds):
        for entry in entries if turn % 2 else reversed(entries):
            if entry.label in turns:
                program = _PROGRAMS.get(entry.label, "ours" if entry is fleet.other else entry.competitor)
                turns[entry.label].starts.append(start_once(fleet, entry, program, fleet.folder(entry)).total)
    return _result(fleet, plan, source, entries, turns, peaks)


def _take_turn(worker: Worker, turns: Turns, queries: list[str], passages: list[str]) -> None:
    turns.queries.append(np.array(worker.run("singles", rows=len(queries))["vectors"]))
    bulk = worker.run("bulk", rows=len(passages))
    turns.bulk.append(bulk["seconds"][0])
    turns.vectors = np.array(bulk["vectors"], np.float32)
    turns.mixed.append(worker.run("mixed")["seconds"][0])


def _gemm_rates(fleet: Fleet) -> dict[str, float]:
    """GFLOP/s, or GOP/s."""
    if RAW.label not in fleet.start((RAW,)):
        return {}
    worker = fleet.workers[RAW.label]
    work = {job: worker.prepare(job, [])["gigaflops"] for job in _GEMMS}
    return {job: amount / min(worker.run(job, _GEMM_REPEATS)["seconds"]) for job, amount in work.items()}


def _result(
    fleet: Fleet,
    plan: Plan,
    source: texts.Texts,
    entries: tuple[Entry, ...],
    turns: dict[str, Turns],
    peaks: dict[str, float],
) -> Result:
    base_label = fleet.other.label if fleet.other and fleet.other.label in turns else OURS.label
    base, exact = turns[base_label], turns[OURS.label]
    result = Result(f"Every package: {len(base.queries[0])} queries, {source.origin}, mixed lengths, start")
    result.header = (
        "",
        "query p50, ms",
        "p99, ms",
        "speed",
        "abstracts/s",
        "speed",
        "of the GEMM peak",
        "mixed/s",
        "speed",
        "first vector, s",
        "peak, MB",
        "cosine to fp32, least",
    )
    tokens = texts.token_counts(source.passages, fleet.exported)
    work = gemm.encoder_gigaflops(tokens, fleet.exported)
    for label, own in turns.items():
        calls = 1e3 * np.concatenate(own.queries)
        rate = work / min(own.bulk)
        peak = peaks.get("gemm_int8" if "int8" in label else "gemm_onnxruntime") if "bf16" not in label else None
        row = (
            label,
            f"{median(calls):.2f}",
            f"{quantiles(calls, n=100)[-1]:.2f}",
            f"{paired_ratio(base.p50(), own.p50()):.2f} ×",
            f"{len(source.passages) / median(own.bulk):.1f}",
            f"{paired_ratio(base.bulk, own.bulk):.2f} ×",
            f"{100 * rate / peak:.0f} %" if peak else "–",
            f"{len(source.passages) / median(own.mixed):.1f}",
            f"{paired_ratio(base.mixed, own.mixed):.2f} ×",
            f"{median(own.starts) / 1e3:.2f}",
            f"{own.peak:.0f}",
            f"{np.einsum('ij,ij->i', own.vectors, exact.vectors, dtype=np.float64).min():.6f}",
        )
        result.rows.append(row)
    result.notes = _notes(plan, base_label, peaks)
    result.notes += [f"{entry.label}: {fleet.absent[entry.label]}" for entry in entries if entry.label in fleet.absent]
    return result


def _notes(plan: Plan, base: str, peaks: dict[str, float]) -> list[str]:
    notes = [
        f"{plan.peer_rounds} interleaved rounds, {plan.start_rounds} starts. Rates and times are medians; each `speed` is the "
        f"median of the rounds' ratios to **{base}**, larger is faster. `first vector` is the wall time from before the process "
        "was started, `peak` is `VmHWM` after queries and abstracts."
    ]
    if peaks:
        each = ", ".join(f"{_GEMMS[job]} {rate:.0f}" for job, rate in peaks.items())
        notes.append(
            f"Matrix products in onnxruntime at the encoder's shapes (int8: uint8 rows, int8 weights), GFLOP/s or GOP/s: {each}. "
            "The share is of all threads' rate in the same precision, for the best round and the arithmetic of the whole graph; "
            "no kept library has bf16 products on this kind of CPU to measure them by."
        )
    return notes
