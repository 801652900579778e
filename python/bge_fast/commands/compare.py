"""``bge-fast compare``: what a lower precision changes for one's own texts, and how much faster it is."""

import time
from argparse import Namespace
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from bge_fast.commands import agreement, output
from bge_fast.commands.defaults import locate, open_embedder, open_reranker
from bge_fast.commands.embed import vectors_of
from bge_fast.commands.foreign import InputError
from bge_fast.commands.memory import private_megabytes
from bge_fast.commands.texts import Text, TextReader, chunks
from bge_fast.models.cross_encoder import FlagReranker
from bge_fast.models.dense_embedder import DenseEmbedder
from bge_fast.models.progress import on_terminal
from bge_fast.models.prompted import PromptedReranker

_EXACT = "fp32"
# For each text the best of the others are looked at: of fewer than twice as many, most would be among them anyway.
_LEAST_OTHERS = 2 * agreement.TOP
# Pairs grow with the product: of a reranker's texts the first are queries, for the ones behind them.
_QUERIES, _PASSAGES = 10, 100
_ROUNDS, _TIMED_TEXTS = 3, 256

Compute = Callable[[list[Text]], Any]


def run(args: Namespace) -> int:
    """Compute all texts in both precisions, then time both in turns."""
    texts = _distinct(TextReader(args.files, args.field, args.format))
    reranks = locate(args.model, args.device, _EXACT).kind == "reranker"
    facts = _compare_rerankers(args, texts) if reranks else _compare_embedders(args, texts)
    facts = {"model": args.model, "precision": args.precision, "texts": len(texts), **facts}
    if args.json:
        output.result(output.to_json(facts))
        return 0
    for line in output.aligned(_rows(facts, "pairs" if reranks else "texts")):
        output.result(line)
    return 0


def _distinct(reader: TextReader) -> list[Text]:
    """Texts without repeats, between whose equal scores rounding would choose.

    Raises:
        InputError: they are too few.
    """
    seen: dict[str, Text] = {}
    for text in reader:
        seen.setdefault(text.text, text)
    if len(seen) <= _LEAST_OTHERS:
        raise InputError(
            f"{len(seen)} different texts are too few: for each, the {agreement.TOP} best of the others are compared, "
            f"which says something from {_LEAST_OTHERS + 1} texts on"
        )
    return list(seen.values())


def _compare_embedders(args: Namespace, texts: list[Text]) -> dict[str, Any]:
    def opened(precision: str) -> tuple[DenseEmbedder, Compute]:
        model = open_embedder(_with(args, precision))
        return model, lambda some: np.vstack([vectors_of(model.encode_corpus, chunk) for chunk in chunks(some)])

    (exact, other), costs = _both(args, opened, texts, texts[:_TIMED_TEXTS])
    close, found = agreement.closeness(exact, other), agreement.of_vectors(exact, other)
    cosine = {"mean": close.mean, "least": close.least, "least_at": texts[close.least_at].place}
    return {"cosine": cosine, "top_10_overlap": found.overlap, "largest_score_change": found.score_change, **costs}


def _compare_rerankers(args: Namespace, texts: list[Text]) -> dict[str, Any]:
    queries, passages = _queries_and_passages(texts)

    def opened(precision: str) -> tuple[FlagReranker | PromptedReranker, Compute]:
        model = open_reranker(_with(args, precision))
        return model, lambda some: np.array(
            model.compute_score([(query.text, one.text) for query in queries for one in some], show_progress_bar=False)
        ).reshape(len(queries), len(some))

    (exact, other), costs = _both(args, opened, passages, passages[: _TIMED_TEXTS // len(queries)])
    costs["per_second"] = {name: rate * len(queries) for name, rate in costs["per_second"].items()}
    found = agreement.of_scores(exact, other)
    pairs = {"queries": len(queries), "passages": len(passages)}
    return {**pairs, "top_10_overlap": found.overlap, "largest_score_change": found.score_change, **costs}


def _queries_and_passages(texts: list[Text]) -> tuple[list[Text], list[Text]]:
    """The first texts, as many as leave enough to be ranked, and those behind them."""
    queries = min(_QUERIES, len(texts) - _LEAST_OTHERS)
    return texts[:queries], texts[queries : queries + _PASSAGES]


def _with(args: Namespace, precision: str) -> Namespace:
    return Namespace(**{**vars(args), "precision": precision})


def _both(
    args: Namespace, opened: Callable[[str], tuple[Any, Compute]], texts: list[Text], timed: list[Text]
) -> tuple[list[Any], dict[str, Any]]:
    """What each precision gives for the texts, and what it costs: the private memory that it took, and its speed."""
    results, private, computes = {}, {}, {}
    models = []
    try:
        # First the one that this model or processor may not have.
        for precision in (args.precision, _EXACT):
            if on_terminal():
                output.note(f"{len(texts):,} texts in {precision}")
            before = private_megabytes()
            model, computes[precision] = opened(precision)
            models.append(model)
            results[precision] = computes[precision](texts)
            private[precision] = round(private_megabytes() - before, 1)
        seconds = _timed_in_turns(computes, timed)
    finally:
        for model in models:
            model.close()
    ratios = [exact / other for exact, other in zip(seconds[_EXACT], seconds[args.precision], strict=True)]
    rates = {name: len(timed) / median(times) for name, times in seconds.items()}
    return [results[_EXACT], results[args.precision]], {
        "per_second": rates,
        "speed": median(ratios),
        "private_mb": private,
    }


def _timed_in_turns(computes: dict[str, Compute], texts: list[Text]) -> dict[str, list[float]]:
    """Seconds of each round; who begins changes."""
    seconds: dict[str, list[float]] = {name: [] for name in computes}
    for turn in range(_ROUNDS):
        for name in list(computes) if turn % 2 else list(reversed(computes)):
            started = time.perf_counter()
            computes[name](texts)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _rows(facts: dict[str, Any], unit: str) -> list[tuple[str, str]]:
    (exact, before), (other, after) = (
        (facts["per_second"][name], facts["private_mb"][name]) for name in (_EXACT, facts["precision"])
    )
    rows = [("texts", f"{facts['texts']:,} different ones")]
    if "queries" in facts:
        rows.append(("pairs", f"the first {facts['queries']} with each of {facts['passages']} behind them"))
    if "cosine" in facts:
        cosine = facts["cosine"]
        rows.append(
            (f"cosine to {_EXACT}", f"{cosine['mean']:.6f} mean, {cosine['least']:.6f} least ({cosine['least_at']})")
        )
    return [
        *rows,
        ("top-10 overlap", f"{facts['top_10_overlap']:.4f}"),
        ("largest score change", f"{facts['largest_score_change']:.2g}"),
        ("speed", f"{facts['speed']:.2f} × ({exact:,.1f} and {other:,.1f} {unit} a second)"),
        ("private memory", f"{before:,.0f} and {after:,.0f} MB"),
    ]
