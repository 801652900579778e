"""One module a measure. Each has `measure(fleet, plan)` and gives one `Result`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    peer_rounds: int
    peer_queries: int
    shape_rounds: int
    decoder_layers: int
    shape_layers: int
    """At most; each shape has its own number."""
    shape_texts: int
    shape_pairs: int
    query_rounds: int
    bulk_rounds: int
    bulk_texts: int
    start_rounds: int
    thread_rounds: int
    pruning_rounds: int
    long_layers: int
    long_tokens: int
    long_compared: int
    m3_layers: int
    m3_rounds: int
    rerank_layers: int
    rerank_rounds: int
    colbert_texts: int
    calls_per_thread: int
    cranfield: Path


def paired_ratio(numerators: list[float], denominators: list[float]) -> float:
    """Median of the ratios of the same round: load that comes and goes hits both sides of each."""
    return median(top / bottom for top, bottom in zip(numerators, denominators, strict=True))
