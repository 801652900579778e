"""Texts a second in bulk, and the share of the machine's matrix-product rate that this uses."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import gemm
import numpy as np
import texts
from fleet import ENTRIES, FLAG_EMBEDDING, OURS, RAW, ST_ONNX, Fleet
from report import Result, Target

from measures import Plan, paired_ratio

_GEMMS = {"gemm_numpy": "numpy", "gemm_onnxruntime": "ONNX Runtime"}
_GEMM_REPEATS = 5
_COMPARED_ROWS = 32
_AT_LEAST = {ST_ONNX.label: 1.3, FLAG_EMBEDDING.label: 2.0}


def measure(fleet: Fleet, plan: Plan) -> Result:
    source = texts.load(plan.cranfield, plan.bulk_texts)
    workers = fleet.start(ENTRIES)
    facts = {label: worker.prepare("bulk", source.passages) for label, worker in workers.items()}
    tokens: list[int] = facts.get(RAW.label, {}).get("tokens", [])
    gemms = {job: workers[RAW.label].prepare(job, [])["gigaflops"] for job in _GEMMS} if RAW.label in workers else {}
    seconds: dict[str, list[float]] = {label: [] for label in [*workers, *gemms]}
    answers = {}
    for turn in range(plan.bulk_rounds):
        for label in list(workers) if turn % 2 else list(reversed(workers)):
            answers[label] = workers[label].run("bulk", rows=_COMPARED_ROWS)
            seconds[label].append(answers[label]["seconds"][0])
        for job in gemms:
            seconds[job].append(min(workers[RAW.label].run(job, _GEMM_REPEATS)["seconds"]))
    rates = {label: [len(source.passages) / one for one in seconds[label]] for label in workers}
    peaks = {job: work / min(seconds[job]) for job, work in gemms.items()}
    work_per_text = gemm.encoder_gigaflops(tokens, fleet.exported) / len(tokens) if tokens else None
    result = Result(f"Bulk: {source.origin}")
    result.header = ("", "texts/s", "best", "bge-fast is", "of the GEMM peak", "peak memory, MB", "vectors differ by")
    for label, rate in rates.items():
        share = f"{100 * max(rate) * work_per_text / max(peaks.values()):.0f} %" if work_per_text else "–"
        difference = np.abs(np.subtract(answers[label]["vectors"], answers[OURS.label]["vectors"])).max()
        faster = paired_ratio(rates[OURS.label], rate)
        numbers = (f"{median(rate):.1f}", f"{max(rate):.1f}", f"{faster:.2f} ×", share)
        result.rows.append((label, *numbers, f"{answers[label]['peak']:.0f}", f"{difference:.0e}"))
        if label in _AT_LEAST:
            goal = _AT_LEAST[label]
            result.targets.append(Target(f"bulk: {label}", f"≥ {goal} ×", f"{faster:.2f} ×", faster >= goal))
    result.add_absent(fleet.absent, (entry.label for entry in ENTRIES))
    result.notes = _notes(plan, tokens, peaks, fleet.exported)
    each = (f"{label} {', '.join(f'{one:.1f}' for one in rate)}" for label, rate in rates.items())
    result.notes.append(f"Texts/s of each round: {'; '.join(each)}.")
    return result


def _notes(plan: Plan, tokens: list[int], peaks: dict[str, float], model: Path) -> list[str]:
    notes = [
        f"{plan.bulk_rounds} interleaved rounds. `texts/s` is the median, ratios are medians of the rounds' ratios, "
        "memory is that of the process since its start, difference is the largest of any number to bge-fast's."
    ]
    if tokens:
        each = ", ".join(f"{_GEMMS[job]} {rate:.0f}" for job, rate in peaks.items())
        whole, pruned = (gemm.encoder_gigaflops(tokens, model, pruned) for pruned in (False, True))
        notes.append(
            f"{np.mean(tokens):.0f} tokens a text in the mean, {max(tokens)} at most, {whole / len(tokens):.1f} GFLOP a text "
            f"(whole graph, padding not counted; on a checkpoint bge-fast leaves {100 * (1 - pruned / whole):.0f} % of them "
            "out, in the last layer). Best fp32 matrix products at the encoder's shapes in the same run, GFLOP/s: "
            f"{each}; the share is of the larger one, for the best round."
        )
    return notes
