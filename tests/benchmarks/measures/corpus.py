"""All of Cranfield in a fresh process with default settings: peak memory, texts a second, and quality, in each precision."""

from __future__ import annotations

import cranfield
import numpy as np
import texts
from fleet import OURS, OURS_BF16, OURS_INT8, Entry, Fleet
from report import Result, Target

from measures import Plan

_TEXTS = 1400
_MEGABYTES = {OURS: 600, OURS_BF16: 240, OURS_INT8: 200}
# FlagEmbedding's figure for bge-small-en-v1.5; a lower precision may differ by half a percent of it.
_NDCG = 0.4128
_TOLERANCE = {OURS: 0.0002, OURS_BF16: 0.0020, OURS_INT8: 0.0020}
_MODEL = "bge-small-en-v1.5"


def measure(fleet: Fleet, plan: Plan) -> Result:
    source = texts.load(plan.cranfield, _TEXTS)
    result = Result(f"Whole corpus: {source.origin}", ("", "peak memory of the process, MB", "texts/s", "nDCG@10"))
    for entry in _MEGABYTES:
        try:
            _one(fleet, plan, entry, source.passages, result)
        except RuntimeError as error:
            if entry == OURS:
                raise
            result.notes.append(f"{entry.label}: not usable: {error}")
    if not cranfield.is_there(plan.cranfield):
        result.notes.append("Quality: skipped, Cranfield is not on this machine.")
    return result


def _one(fleet: Fleet, plan: Plan, entry: Entry, passages: list[str], result: Result) -> None:
    figure = None
    worker = fleet.fresh(entry)
    try:
        worker.prepare("bulk", passages)
        answer = worker.run("bulk", rows=_TEXTS)
        if cranfield.is_there(plan.cranfield):
            collection = cranfield.load(plan.cranfield)
            worker.prepare("queries", collection.queries)
            queries = np.array(worker.run("queries", rows=len(collection.queries))["vectors"], np.float32)
            figure = cranfield.ndcg_at_10(queries, np.array(answer["vectors"], np.float32), collection)
    finally:
        worker.stop()
    peak, most = answer["peak"], _MEGABYTES[entry]
    quality = "–" if figure is None else f"{figure:.4f}"
    result.rows.append((entry.label, f"{peak:.0f}", f"{_TEXTS / answer['seconds'][0]:.1f}", quality))
    result.targets.append(
        Target(f"memory for {_TEXTS} abstracts, {entry.label}", f"≤ {most} MB", f"{peak:.0f} MB", peak <= most)
    )
    if figure is not None and fleet.ours.name == _MODEL:
        tolerance = _TOLERANCE[entry]
        met = abs(figure - _NDCG) <= tolerance
        goal = f"{_NDCG} ± {tolerance}"
        result.targets.append(Target(f"Cranfield nDCG@10, {entry.label}", goal, f"{figure:.4f}", met))
