"""The time of one query, captured and not, and of many that come at once."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from models import path_of, text_of
from results import Results, parse
from speed import timed

from bge_fast import FlagModel

_THREADS = 64


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "queries")
    for size in ("tiny",) if options.dry else ("small", "base", "large"):
        model = FlagModel(str(path_of(options.models, size)), devices=options.device, use_fp16=True)
        alone(results, options, size, model)
        at_once(results, options, size, model)
    results.end()


def alone(results: Results, options: argparse.Namespace, size: str, model: FlagModel) -> None:
    """Two texts are never captured, one of up to 512 tokens is."""
    count = 20 if options.dry else 400
    for tokens, texts in ((16, 1), (64, 1), (512, 1), (16, 2)):
        queries = [[text_of(tokens, number * 7 + text) for text in range(texts)] for number in range(count)]
        first = 1e3 * timed(lambda query=queries[0]: model.encode(query))
        times = sorted(1e3 * timed(lambda query=query: model.encode(query)) for query in queries[1:])
        before, runs = model._open().core.seconds, len(queries)
        for query in queries:
            model.encode(query)
        tokenizing, _, running = [1e3 * (a - b) / runs for a, b in zip(model._open().core.seconds, before, strict=True)]
        goal = size == "base" and (tokens, texts) == (16, 1)
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        row = {"model": size, "tokens": tokens, "texts": texts, "p50_ms": p50, "p99_ms": p99, "first_ms": first}
        ok = p50 <= 0.6 if goal and not options.dry else None
        results.add(ok, **row, running_ms=running, tokenizing_ms=tokenizing)


def at_once(results: Results, options: argparse.Namespace, size: str, model: FlagModel) -> None:
    """Queries a second of one thread and of many."""
    count = 100 if options.dry else 3000
    queries = [text_of(16, 10_000 + number) for number in range(count)]
    serial = count / timed(lambda: [model.encode(query) for query in queries])
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(model.encode, queries[:_THREADS]))
        start = time.perf_counter()
        found = list(threads.map(model.encode, queries))
        together = count / (time.perf_counter() - start)
    same = all(
        float((one * model.encode(query)).sum()) > 0.9999 for one, query in zip(found[:50], queries, strict=False)
    )
    results.add(same, model=size, threads=_THREADS, queries_per_s=together, of_one_thread=serial)


if __name__ == "__main__":
    main()
