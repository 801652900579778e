"""Texts a second, by size and length, and how much of the card's best that is; a reranker with one query and 100 passages."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from models import FLOPS_AT_BEST, flops, make, mixed_lengths, path_of, text_of, texts_of
from results import Results, parse

from bge_fast import FlagModel, FlagReranker

_PASSES = 3
_TOKENS = {"small": 3_000_000, "base": 1_500_000, "large": 600_000, "tiny": 20_000}
_MIXED = 4096
_NO_LIMIT = 1 << 20


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "speed")
    for size in [options.only] if options.only else ["tiny"] if options.dry else ["base", "small", "large"]:
        embed(results, options, size)
    rerank(results, options)
    results.end()


def embed(results: Results, options: argparse.Namespace, size: str) -> None:
    """Equal lengths, then mixed ones as they come."""
    model = FlagModel(str(path_of(options.models, size)), devices=options.device, use_fp16=True)
    count = max(_TOKENS[size] // 256, 8)
    cases = {str(length): [length] * max(_TOKENS[size] // length, 8) for length in (32, 128, 512)}
    cases["10–500"] = mixed_lengths(min(count, _MIXED))
    for name, lengths in cases.items():
        passes = [texts_of(lengths, seed=1000 * number) for number in range(_PASSES)]
        seconds = [timed(lambda texts=texts: model.encode(texts, batch_size=_NO_LIMIT)) for texts in passes]
        best, tokens = min(seconds), sum(lengths)
        tokenizing, waiting, running = shares(model, passes[-1])
        rates = {"texts/s": len(lengths) / best, "tokens/s": tokens / best, "first pass": len(lengths) / seconds[0]}
        share = f"{100 * flops(size, lengths) / best / FLOPS_AT_BEST:.0f} %"
        device = f"{len(lengths) / running:.0f}"
        parts = f"{tokenizing:.3f} / {waiting:.3f} / {running:.3f} of {best:.3f}"
        results.add(model=size, tokens=name, texts=len(lengths), **rates, roofline=share, device_alone=device, s=parts)


def shares(model: FlagModel, texts: list[str]) -> list[float]:
    """Seconds of tokenizing, waiting and running of one more pass."""
    core = model._open().core
    before = core.seconds
    model.encode(texts, batch_size=_NO_LIMIT)
    return [after - start for after, start in zip(core.seconds, before, strict=True)]


def rerank(results: Results, options: argparse.Namespace) -> None:
    """One query and 100 passages of about 128 tokens."""
    folder = options.models / "reranker"
    if not folder.exists():
        make(folder, *((2, 128, 4) if options.dry else (12, 768, 12)), reranker=True)
    for precision in ("fp32",) if options.dry else ("fp16", "fp32"):
        model = FlagReranker(str(folder), devices=options.device, precision=precision)
        times = []
        for number in range(3 if options.dry else 30):
            pairs = [(text_of(12, number), passage) for passage in texts_of([118] * 100, seed=500 * number)]
            times.append(timed(lambda model=model, pairs=pairs: model.compute_score(pairs)))
        times.sort()
        results.add(
            model="reranker base", precision=precision, p50_ms=1e3 * times[len(times) // 2], worst_ms=1e3 * times[-1]
        )


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
