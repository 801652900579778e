"""``bge-fast bench``: how fast a model is on this machine, with all that the figures depend on."""

import json
import os
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import Any

from bge_fast.commands import measures, output
from bge_fast.commands.doctor.machine import check_cpu, check_memory
from bge_fast.commands.foreign import InputError
from bge_fast.commands.memory import mapped_megabytes
from bge_fast.commands.subject import Subject
from bge_fast.models.progress import on_terminal
from bge_fast.runtime.threads import default_threads

_OPTIONS = ("seconds", "lengths", "max_length", "batch_size", "pooling", "dense", "truncate_dim")
_OF_MODEL = (
    "checkpoint",
    "kind",
    "architecture",
    "precision",
    "device",
    "execution_provider",
    "threads",
    "instructions",
)
# Texts are made of words: not every length can be met.
_CLOSE = 10
Facts = dict[str, Any]


def run(args: Namespace) -> int:
    """Measure, then print; with --compare-to beside what was measured before."""
    if max(args.lengths) > args.max_length:
        raise InputError(
            f"--lengths {max(args.lengths)} is more than --max-length {args.max_length}, where texts are cut"
        )
    before = _read(args.compare_to) if args.compare_to else None
    facts = _measured(args)
    if args.json:
        output.result(output.to_json(facts))
        return 0
    for line in output.aligned(_rows(facts, before)):
        output.result(line)
    return 0


def _measured(args: Namespace) -> Facts:
    machine = {"cpu": check_cpu(args.threads or default_threads()).fact, "memory": check_memory().fact}
    machine["load"] = " ".join(f"{load:.1f}" for load in os.getloadavg())
    subject = Subject(args, args.threads)
    with closing(subject.model):
        info = subject.model.info()
        facts = {
            "machine": machine,
            "model": {name: info[name] for name in _OF_MODEL if name in info},
            "options": {name: getattr(args, name) for name in _OPTIONS},
            "unit": subject.unit,
            "open_seconds": subject.seconds_to_open,
            "opened_mb": subject.private_megabytes(),
            "single": _single(subject, args.lengths[0], args.seconds),
            "many": [_many(subject, tokens, args.seconds) for tokens in args.lengths],
            "private_mb": subject.private_megabytes(),
            "mapped_mb": mapped_megabytes(info["files"]),
        }
    on_cpu = info["device"] == "cpu"
    return {**facts, "by_threads": list(_by_threads(args)) if on_cpu and args.threads is None else []}


def _single(subject: Subject, tokens: int, seconds: float) -> Facts:
    _tell(f"one text of {tokens} tokens after the other")
    texts = subject.texts(tokens)
    times = measures.latency(lambda number: subject.one(texts[number % len(texts)]), seconds)
    return {"tokens": tokens, "mean_tokens": mean(map(subject.tokens, texts)), **times.as_json()}


def _many(subject: Subject, tokens: int, seconds: float) -> Facts:
    _tell(f"{subject.unit} of {tokens} tokens")
    texts = subject.texts(tokens)
    tokens_in_the_mean = mean(map(subject.tokens, texts))
    if abs(tokens_in_the_mean - tokens) > tokens / _CLOSE:
        output.note(f"{subject.unit} of {tokens} tokens have {tokens_in_the_mean:.1f} in the mean")
    rate = measures.rate(lambda count: subject.many(texts[:count]), seconds, len(texts))
    return {"tokens": tokens, "mean_tokens": tokens_in_the_mean, "per_second": rate}


def _by_threads(args: Namespace) -> Iterator[Facts]:
    """The rate with one thread, two, four and so on, up to all; with texts of the middle length."""
    tokens, most = sorted(args.lengths)[len(args.lengths) // 2], default_threads()
    for threads in [*(one for one in map((2).__pow__, range(most.bit_length())) if one < most), most]:
        subject = Subject(args, threads)
        with closing(subject.model):
            yield {"threads": threads, **_many(subject, tokens, args.seconds)}


def _tell(what: str) -> None:
    if on_terminal():
        output.note(what)


def _read(file: str) -> Facts:
    try:
        facts = json.loads(Path(file).read_text(encoding="utf-8"))
        deque(_rows(facts, facts), maxlen=0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not what bench --json writes: {error}") from error
    return dict(facts)


def _figures(facts: Facts) -> dict[str, tuple[float, str]]:
    """Name → the number and how it is written. Of speeds more is better, of times and memory less."""
    single, unit = facts["single"], facts["unit"]
    figures = {"opened, with one call": (facts["open_seconds"], "{:.2f} s")}
    for one in (50, 95, 99):
        figures[f"one of {single['tokens']} tokens, p{one}"] = (single[f"p{one}_ms"], "{:.3g} ms")
    for one in facts["many"]:
        figures[f"{unit} of {one['tokens']} tokens"] = (one["per_second"], "{:,.1f} a second")
    for one in facts["by_threads"]:
        name = f"{unit} of {one['tokens']} tokens by {one['threads']} thread{'s' * (one['threads'] > 1)}"
        figures[name] = (one["per_second"], "{:,.1f} a second")
    figures["private memory, opened"] = (facts["opened_mb"], "{:,.0f} MB")
    figures["private memory in the end"] = (facts["private_mb"], "{:,.0f} MB")
    figures["mapped weights in the end"] = (facts["mapped_mb"], "{:,.0f} MB")
    return figures


def _rows(facts: Facts, before: Facts | None) -> Iterator[tuple[str, str]]:
    """What was measured, and how; with ``before`` also what was different, and ratios to it."""
    for group in ("machine", "model", "options"):
        for name, value in facts[group].items():
            old = before[group].get(name) if before else value
            yield name.replace("_", " "), _shown(value) + (f" (before: {_shown(old)})" if old != value else "")
    earlier = _figures(before) if before else {}
    for name, (value, form) in _figures(facts).items():
        old, _ = earlier.get(name, (0.0, ""))
        yield name, form.format(value) + (f", {value / old:.2f} × {form.format(old)}" if old else "")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "default" if value is None else str(value)
