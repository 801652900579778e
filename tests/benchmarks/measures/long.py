"""One text of 8,192 tokens at the shape of XLM-R large: memory beside the weights, time, and that the form of attention
without a mask gives what the one with a mask gives."""

from __future__ import annotations

import json

import random_xlmr
from fleet import OURS, Fleet, run_script
from random_xlmr import Shape
from report import Result, Target

from measures import Plan

_MEGABYTES = 700
_DIFFERENCE = 1e-5


def measure(fleet: Fleet, plan: Plan) -> Result:
    folder = random_xlmr.make(fleet.logs / f"xlmr-large-{plan.long_layers}", Shape(plan.long_layers))
    found = json.loads(run_script(OURS, "long_text.py", folder, plan.long_tokens, plan.long_compared))
    shape = f"{plan.long_layers} layers of XLM-R large's shape, random weights"
    result = Result(f"One text of {plan.long_tokens:,} tokens: {shape}", ("", "measured"))
    compared = f"{plan.long_compared:,} tokens: vectors differ by"
    result.rows = [
        ("private memory of the opened model, MB", f"{found['weights']:.0f}"),
        ("most private memory during the call beyond that, MB", f"{found['private']:.0f}"),
        ("most resident memory during the call beyond that before it, MB", f"{found['resident']:.0f}"),
        ("time, s", f"{found['seconds']:.1f}"),
        (f"graph without and with a mask, {compared}", f"{found['graph']:.0e}"),
        (f"bge-fast and the graph with a mask, {compared}", f"{found['ours']:.0e}"),
    ]
    result.notes.append(
        "Private memory is `RssAnon`, looked at every 5 ms; resident memory also counts pages of the mapped weights that the "
        "call touches first."
    )
    most, worst = found["private"], max(found["graph"], found["ours"])
    result.targets = [
        Target("one long text: memory beside the weights", f"≤ {_MEGABYTES} MB", f"{most:.0f} MB", most <= _MEGABYTES),
        Target("its form without a mask differs by", f"≤ {_DIFFERENCE:.0e}", f"{worst:.0e}", worst <= _DIFFERENCE),
    ]
    return result
