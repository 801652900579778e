"""Time by operator of a query and of an abstract, in each precision, by ONNX Runtime's profiler inside the package's sessions."""

from __future__ import annotations

import json

import cranfield
import texts
from fleet import OURS, Fleet, run_script
from report import Result

from measures import Plan

_PRECISIONS = ("fp32", "bf16", "int8")
_ABSTRACTS = 64


def measure(fleet: Fleet, plan: Plan) -> Result:
    there = cranfield.is_there(plan.cranfield)
    queries = (cranfield.load(plan.cranfield).queries if there else [texts.QUERY] * 150)[: plan.peer_queries]
    work = {"query": queries, "abstract": texts.load(plan.cranfield, min(plan.bulk_texts, _ABSTRACTS)).passages}
    result = Result("Time by operator, ms a text")
    columns: dict[str, dict[str, float]] = {}
    for precision in _PRECISIONS:
        for name, given in work.items():
            options = ["--singly"] if name == "query" else []
            try:
                found = run_script(
                    OURS, "operator_times.py", fleet.ours, precision, *options, standard_input=json.dumps(given)
                )
            except RuntimeError as error:
                result.notes.append(f"{precision}, {name}: not usable: {str(error).splitlines()[-1]}")
                continue
            times = {operator: total / len(given) for operator, (_, total) in json.loads(found).items()}
            columns[f"{name}, {precision}"] = times
    most = {operator for times in columns.values() for operator in times}
    order = sorted(most, key=lambda operator: -max(times.get(operator, 0) for times in columns.values()))
    result.header = ("", *columns)
    for operator in order:
        result.rows.append((operator, *(f"{times.get(operator, 0):.2f}" for times in columns.values())))
    result.rows.append(("sum", *(f"{sum(times.values()):.2f}" for times in columns.values())))
    result.notes.append(
        f"{len(work['query'])} queries in calls of their own, {len(work['abstract'])} abstracts in one; the first run of each "
        "session is counted too. A query has all threads, abstracts run side by side with one each, and their times add up."
    )
    return result
