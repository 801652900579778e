"""Teacher scores: what a reranker says of the positives and negatives of each row."""

from collections.abc import Iterator
from typing import Any

from bge_fast.mining.rows import Place, Row, Rows, by_number, checked

# Pairs scored at once: enough to be sorted by length, few enough to hold.
_PAIRS = 2048


def add_reranker_scores(
    reranker: Any, rows: Rows, *, normalize: bool | None = None, place: Place = by_number
) -> Iterator[Row]:
    """Give each row ``pos_scores`` and ``neg_scores``, in the order of ``pos`` and ``neg``.

    Args:
        rows: with ``query``, ``pos`` and ``neg``; other keys are kept.
        normalize: scores from 0 to 1; by default as the reranker was opened.
        place: what messages call the row of a number.

    Raises:
        ValueError: a row is not what it should be; names it.
    """
    window: list[Row] = []
    pairs = 0
    for row in checked(rows, place, negatives=True):
        window.append(row)
        pairs += len(row["pos"]) + len(row["neg"])
        if pairs >= _PAIRS:
            yield from _scored(reranker, window, normalize)
            window, pairs = [], 0
    yield from _scored(reranker, window, normalize)


def _scored(reranker: Any, rows: list[Row], normalize: bool | None) -> Iterator[Row]:
    pairs = [(row["query"], text) for row in rows for text in (*row["pos"], *row["neg"])]
    asked = {} if normalize is None else {"normalize": normalize}
    scores = reranker.compute_score(pairs, show_progress_bar=False, **asked) if pairs else []
    start = 0
    for row in rows:
        middle, end = start + len(row["pos"]), start + len(row["pos"]) + len(row["neg"])
        yield {**row, "pos_scores": scores[start:middle], "neg_scores": scores[middle:end]}
        start = end
