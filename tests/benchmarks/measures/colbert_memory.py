"""Memory of `encode` with multi-vectors beside the weights and the result, which alone may grow with the texts."""

from __future__ import annotations

import json

import random_xlmr
from fleet import OURS, Fleet, run_script
from report import Result, Target

from measures import Plan

_LAYERS = 2
_MEGABYTES = 300


def measure(fleet: Fleet, plan: Plan) -> Result:
    folder = random_xlmr.make(fleet.logs / f"m3-large-{_LAYERS}", random_xlmr.m3(_LAYERS))
    found = json.loads(run_script(OURS, "colbert_memory.py", folder, plan.colbert_texts, plan.cranfield))
    beyond = found["peak"] - found["weights"] - found["result"]
    result = Result(f"Multi-vectors in memory: {found['origin']}; {_LAYERS} layers of M3's shape", ("", "measured"))
    result.rows = [
        ("private memory of the opened model, MB", f"{found['opened']:.0f}"),
        ("the same with the sessions for bulk work, after some texts of a few tokens, MB", f"{found['weights']:.0f}"),
        ("most private memory during the call, MB", f"{found['peak']:.0f}"),
        (
            f"the result: {found['vectors']:,} vectors of 1,024 numbers, and the dense ones, MB",
            f"{found['result']:.0f}",
        ),
        ("beyond weights and result, MB", f"{beyond:.0f}"),
        (
            "most resident memory during the call, beyond that before it and the result, MB",
            f"{found['resident'] - found['result']:.0f}",
        ),
        ("time, s", f"{found['seconds']:.1f}"),
    ]
    result.notes.append("Private memory is `RssAnon`, looked at every 5 ms.")
    met = beyond <= _MEGABYTES
    result.targets = [Target("multi-vectors: memory beyond the result", f"≤ {_MEGABYTES} MB", f"{beyond:.0f} MB", met)]
    return result
