"""All of Cranfield in a fresh process with default settings: peak memory, texts a second, and quality."""

from __future__ import annotations

import cranfield
import numpy as np
import texts
from fleet import OURS, Fleet
from report import Result, Target

from measures import Plan

_TEXTS = 1400
_MEGABYTES = 600
# FlagEmbedding's figure for bge-small-en-v1.5.
_NDCG = 0.4128
_TOLERANCE = 0.0002
_MODEL = "bge-small-en-v1.5"


def measure(fleet: Fleet, plan: Plan) -> Result:
    source = texts.load(plan.cranfield, _TEXTS)
    worker = fleet.fresh(OURS)
    try:
        worker.prepare("bulk", source.passages)
        answer = worker.run("bulk", rows=_TEXTS)
        result = Result(f"Whole corpus: {source.origin}", ("", "measured"))
        result.rows.append(("peak memory of the process, MB", f"{answer['peak']:.0f}"))
        result.rows.append(("texts/s", f"{_TEXTS / answer['seconds'][0]:.1f}"))
        met = answer["peak"] <= _MEGABYTES
        result.targets.append(
            Target(f"memory for {_TEXTS} abstracts", f"≤ {_MEGABYTES} MB", f"{answer['peak']:.0f} MB", met)
        )
        if not cranfield.is_there(plan.cranfield):
            result.notes.append("Quality: skipped, Cranfield is not on this machine.")
            return result
        collection = cranfield.load(plan.cranfield)
        worker.prepare("queries", collection.queries)
        queries = worker.run("queries", rows=len(collection.queries))["vectors"]
    finally:
        worker.stop()
    figure = cranfield.ndcg_at_10(np.array(queries, np.float32), np.array(answer["vectors"], np.float32), collection)
    result.rows.append(("nDCG@10", f"{figure:.4f}"))
    if fleet.ours.name == _MODEL:
        met = abs(figure - _NDCG) <= _TOLERANCE
        result.targets.append(Target("Cranfield nDCG@10", f"{_NDCG} ± {_TOLERANCE}", f"{figure:.4f}", met))
    return result
