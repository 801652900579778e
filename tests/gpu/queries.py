"""The time of one query and of few texts, of many that come at once, and of queries beside bulk work; two models beside each other."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from models import CHECKPOINTS, path_of, text_of, texts_of
from results import Results, parse
from speed import timed

from bge_fast import BGEFastError, BGEM3FlagModel, FlagModel

_THREADS = 64


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "queries")
    for size in ("tiny",) if options.dry else ("small", "base", "large"):
        model = FlagModel(str(path_of(options.models, size)), devices=options.device, use_fp16=True)
        alone(results, options, size, model)
        at_once(results, options, size, model)
        beside_bulk(results, options, size, model)
    warmed(results, options)
    of_three_outputs(results, options)
    two_models(results, options)
    results.end()


def alone(results: Results, options: argparse.Namespace, size: str, model: FlagModel) -> None:
    """Up to eight texts of up to 512 tokens together are captured, nine are not."""
    count = 20 if options.dry else 400
    for tokens, texts in ((16, 1), (64, 1), (512, 1), (16, 2), (60, 8), (50, 9)):
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


def beside_bulk(results: Results, options: argparse.Namespace, size: str, model: FlagModel) -> None:
    """A query waits for the run that is there, not for those behind it."""
    texts = texts_of([128] * (200 if options.dry else 20_000), seed=7)
    with ThreadPoolExecutor(1) as threads:
        bulk = threads.submit(model.encode, texts, batch_size=1 << 20)
        time.sleep(0.2)
        times: list[float] = []
        while not bulk.done():
            times.append(1e3 * timed(lambda: model.encode(text_of(16, len(times)))))
            time.sleep(0.002)
    times.sort()
    rate = len(texts) / timed(lambda: model.encode(texts, batch_size=1 << 20))
    if times:
        p50, worst = times[len(times) // 2], times[-1]
        results.add(model=size, beside_bulk=len(times), p50_ms=p50, worst_ms=worst, bulk_texts_per_s=rate)


def warmed(results: Results, options: argparse.Namespace) -> None:
    """All visible devices as one model, which was warmed up: no call is slow."""
    folder = str(path_of(options.models, "tiny" if options.dry else "base"))
    start = time.perf_counter()
    model = FlagModel(folder, devices="cpu" if options.dry else "all", use_fp16=True, warmup=True)
    opened = time.perf_counter() - start
    lengths = (5, 30, 60, 120, 250, 500)
    worst = max(1e3 * timed(lambda n=tokens: model.encode(text_of(n, n))) for tokens in lengths)
    results.add(warmed=", ".join(model.target_devices), opened_s=opened, worst_first_ms=worst)


def of_three_outputs(results: Results, options: argparse.Namespace) -> None:
    """M3's, of a tiny model: what they take beyond the layers."""
    model = BGEM3FlagModel(str(CHECKPOINTS / "tiny-m3"), devices=options.device, use_fp16=True)
    times = sorted(
        timed(lambda n=n: model.encode([text_of(16, n)], return_sparse=True, return_colbert_vecs=True))
        for n in range(20 if options.dry else 300)
    )
    results.add(model="tiny-m3", p50_ms=1e3 * times[len(times) // 2], p99_ms=1e3 * times[int(len(times) * 0.99)])


def two_models(results: Results, options: argparse.Namespace) -> None:
    """One captures its runs while the other takes memory."""
    name = "tiny" if options.dry else "small"
    folder = str(path_of(options.models, name))
    texts = texts_of([300] * (20 if options.dry else 3000))
    expected = FlagModel(folder, devices=options.device, use_fp16=True).encode(texts)
    wrong = []
    for _ in range(2 if options.dry else 6):
        bulk, queries = (FlagModel(folder, devices=options.device, use_fp16=True) for _ in range(2))
        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(bulk.encode, texts)
            try:
                for tokens in (10, 20, 40, 100, 200, 300, 500):
                    queries.encode(text_of(tokens, 1))
                    queries.encode([text_of(tokens // 2, 1)] * 2)
                wrong += [] if np.allclose(done.result(), expected, atol=1e-3) else ["other numbers"]
            except BGEFastError as error:
                wrong.append(str(error)[:200])
        bulk.close()
        queries.close()
    results.add(not wrong, what="two models at once", wrong=wrong)


if __name__ == "__main__":
    main()
