"""This build of bge-fast beside another one, which has an environment of its own, in the same rounds.

Three take turns: the other build, this one, and this one again. What the last two differ by is the noise of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import texts
from fleet import OURS, Entry, Fleet
from report import Result, Target
from texts import QUERY

from measures import Plan, paired_ratio
from measures.start import start_once

MEASURES = ("start", "query", "bulk")
_THIS, _AGAIN = (Entry(label, OURS.competitor, OURS.environment) for label in ("this build", "this build, again"))
_LEAST_ROUNDS = 5
_QUERIES = 20
_LEAST_SPEED, _MOST_MEMORY = 0.98, 1.02


@dataclass(frozen=True)
class Turn:
    """What one turn of a build took: milliseconds, and MB of memory after it."""

    time: float
    private: float
    peak: float


def measure(name: str, other: Entry, fleet: Fleet, plan: Plan) -> Result:
    """One of `MEASURES` for this build and the other one."""
    title, rounds, texts_of_call, repeats = _work(name, plan)
    rounds = max(rounds, _LEAST_ROUNDS)
    turns: dict[str, list[Turn]] = {entry.label: [] for entry in (other, _THIS, _AGAIN)}
    with ExitStack() as running:
        take_turn = {
            entry.label: _starts(fleet, entry)
            if name == "start"
            else _calls(fleet, entry, name, texts_of_call, repeats, running)
            for entry in (other, _THIS, _AGAIN)
        }
        # Who begins changes, so that nobody always follows the same neighbour. The first round is for warming up.
        for number in range(-1, rounds):
            first = number % len(turns)
            for label in [*turns, *turns][first : first + len(turns)]:
                turn = take_turn[label]()
                if number >= 0:
                    turns[label].append(turn)
    return _result(f"{title}: {rounds} rounds of two builds", list(turns.items()))


def _work(name: str, plan: Plan) -> tuple[str, int, list[str], int]:
    """Title, rounds, the texts of a call, and calls a turn."""
    if name == "start":
        return "Start to the first vector", plan.start_rounds, [], 1
    if name == "query":
        return "One query", plan.query_rounds, [QUERY], _QUERIES
    source = texts.load(plan.cranfield, plan.bulk_texts)
    return f"Bulk, {source.origin}", plan.bulk_rounds, source.passages, 1


def _starts(fleet: Fleet, entry: Entry) -> Callable[[], Turn]:
    def take_turn() -> Turn:
        start = start_once(fleet, entry, "ours", fleet.ours)
        return Turn(start.beyond, start.private, start.peak)

    return take_turn


def _calls(
    fleet: Fleet, entry: Entry, job: str, work: list[str], repeats: int, running: ExitStack
) -> Callable[[], Turn]:
    worker = fleet.fresh(entry, fleet.ours)
    running.callback(worker.stop)
    worker.prepare(job, work)

    def take_turn() -> Turn:
        answer = worker.run(job, repeats)
        return Turn(1e3 * median(answer["seconds"]), answer["private"], answer["peak"])

    return take_turn


def _result(title: str, turns: list[tuple[str, list[Turn]]]) -> Result:
    result = Result(title, ("", "ms, median", "least", "speed beside the other", "private, MB", "peak, MB", "memory"))
    base = turns[0][1]
    for label, own in turns:
        times, private, peak = ([getattr(turn, name) for turn in own] for name in ("time", "private", "peak"))
        speed, memory = _ratio(base, own, "time"), max(_ratio(own, base, "private"), _ratio(own, base, "peak"))
        sizes = (f"{median(private):.1f}", f"{max(peak):.1f}", f"{memory:.3f} ×")
        result.rows.append((label, f"{median(times):.2f}", f"{min(times):.2f}", f"{speed:.3f} ×", *sizes))
    (_, this), (_, again) = turns[1:]
    same, speed = _ratio(this, again, "time"), _ratio(base, this, "time")
    least = _LEAST_SPEED - abs(1 - same)
    result.targets.append(Target(f"{title}: speed", f"≥ {least:.3f} ×", f"{speed:.3f} ×", speed >= least))
    for name in ("private", "peak"):
        memory = _ratio(this, base, name)
        goal = f"≤ {_MOST_MEMORY} ×"
        result.targets.append(Target(f"{title}: {name} memory", goal, f"{memory:.3f} ×", memory <= _MOST_MEMORY))
    result.notes.append(
        f"A/A: this build beside itself is {same:.3f} ×; the goal for the speed, {_LEAST_SPEED} ×, is lowered by what that "
        "differs from 1. Ratios are medians of the rounds' ratios; `memory` is the larger one of private and peak."
    )
    return result


def _ratio(numerators: list[Turn], denominators: list[Turn], name: str) -> float:
    return paired_ratio(*([getattr(turn, name) for turn in turns] for turns in (numerators, denominators)))
