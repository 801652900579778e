"""How good rankings are: the figures of trec_eval, and the two that FlagEmbedding adds."""

from collections.abc import Callable, Mapping, Sequence
from math import log2

import numpy as np

from bge_fast.errors import quoted

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]
K_VALUES = (1, 3, 5, 10, 100, 1000)
_DIGITS = 5
# trec_eval's figures are averaged over the queries that were run and judged, the others over all that were judged.
_OVER_BOTH, _OVER_JUDGED = ("ndcg", "map", "recall", "precision"), ("mrr", "recall_cap")


def metrics(qrels: Qrels, run: Run, k_values: Sequence[int] = K_VALUES) -> dict[str, float]:
    """Compute ``ndcg_at_k``, ``map_at_k``, ``recall_at_k``, ``precision_at_k``, ``mrr_at_k`` and ``recall_cap_at_k``.

    The first four are trec_eval's and sort equal scores, in float32, by document id, the last first; ``mrr`` and
    ``recall_cap`` leave equal scores in the order of the run. All are means over queries, rounded to five digits.

    Args:
        qrels: for each query the judged documents; above 0 is relevant.
        run: for each query the scores of documents.

    Raises:
        ValueError: no query of the run is judged.
    """
    queries = per_query(qrels, run, k_values)
    if not queries:
        raise ValueError(
            f"no query of the run ({_some(run)}) is among the judged ones ({_some(qrels)}): compare their ids"
        )
    counts = dict.fromkeys(_OVER_BOTH, len(queries)) | dict.fromkeys(_OVER_JUDGED, len(qrels))
    names = [(f"{kind}_at_{k}", counts[kind]) for kind in counts for k in k_values]
    return {name: round(sum(one[name] for one in queries.values()) / count, _DIGITS) for name, count in names}


def per_query(qrels: Qrels, run: Run, k_values: Sequence[int] = K_VALUES) -> dict[str, dict[str, float]]:
    """The same figures of each query that was run and judged, not rounded."""
    if not k_values or not all(isinstance(k, int) and k > 0 for k in k_values):
        raise ValueError(f"k_values={quoted(k_values)} must be whole numbers of at least 1")
    return {query: _figures(qrels[query], scores, k_values) for query, scores in run.items() if query in qrels}


def _figures(judged: Mapping[str, int], scores: Mapping[str, float], k_values: Sequence[int]) -> dict[str, float]:
    deepest = max(k_values)
    gains = [max(judged.get(document, 0), 0) for document in _trec_order(scores)[:deepest]]
    stable = sorted(scores, key=lambda document: -scores[document])[:deepest]
    hits = [judged.get(document, 0) > 0 for document in stable]
    ideal = sorted((grade for grade in judged.values() if grade > 0), reverse=True)
    kinds: dict[str, Callable[[int], float]] = {
        "ndcg": lambda k: _ratio(_dcg(gains[:k]), _dcg(ideal[:k])),
        "map": lambda k: _ratio(_sum_of_precisions(gains[:k]), len(ideal)),
        "recall": lambda k: _ratio(_count(gains[:k]), len(ideal)),
        "precision": lambda k: _count(gains[:k]) / k,
        "mrr": lambda k: 1 / (hits.index(True) + 1) if any(hits[:k]) else 0.0,
        "recall_cap": lambda k: _ratio(sum(hits[:k]), min(len(ideal), k)),
    }
    return {f"{kind}_at_{k}": figure(k) for kind, figure in kinds.items() for k in k_values}


def _trec_order(scores: Mapping[str, float]) -> list[str]:
    """Best first; of scores that are equal in float32 the last id."""
    rounded = np.fromiter(scores.values(), np.float32, len(scores)).tolist()
    return [document for _, document in sorted(zip(rounded, scores, strict=True), reverse=True)]


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _sum_of_precisions(gains: Sequence[int]) -> float:
    ranks = [rank for rank, gain in enumerate(gains, start=1) if gain]
    return sum(found / rank for found, rank in enumerate(ranks, start=1))


def _count(gains: Sequence[int]) -> int:
    return sum(gain > 0 for gain in gains)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _some(queries: Mapping[str, object]) -> str:
    return ", ".join(map(quoted, list(queries)[:3])) or "none"
