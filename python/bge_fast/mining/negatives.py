"""Hard negatives: passages that a model ranks high for a query, and that are no answer to it."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from bge_fast.errors import quoted
from bge_fast.mining.rows import Place, Row, Rows, by_number, checked, windows
from bge_fast.mining.scores import add_reranker_scores
from bge_fast.search import Hits, top_k
from bge_fast.search.encoders import dense_passages, dense_queries, made_by
from bge_fast.search.stored import stored_vectors

# Rows whose queries are searched for at once.
_ROWS = 1024


@dataclass(frozen=True)
class Choice:
    """Which passages of a ranking may be negatives."""

    range: tuple[int, int] = (10, 210)
    """Places in the ranking, from 0, the end not included: (10, 60) leaves the ten best out."""
    negatives: int = 15
    seed: int = 0
    margin: float | None = None
    """How much lower than the lowest score of a positive a negative's must be."""
    relative_margin: float | None = None
    """The same as a share of that score."""
    max_score: float | None = None

    def __post_init__(self) -> None:
        low, high = self.range
        if not 0 <= low < high:
            raise ValueError(
                f"range={self.range} must be two places in the ranking, the first from 0 and below the second"
            )
        if self.negatives < 1:
            raise ValueError(f"negatives={self.negatives} is not a number of at least 1")

    @property
    def compares(self) -> bool:
        """Whether scores of positives are asked for."""
        return self.margin is not None or self.relative_margin is not None

    def limit(self, positive: float | None) -> float:
        """The highest score that a negative may have."""
        limits = [np.inf if self.max_score is None else self.max_score]
        if positive is not None:
            limits += [positive - self.margin] if self.margin is not None else []
            limits += [positive - abs(positive) * self.relative_margin] if self.relative_margin is not None else []
        return float(min(limits))


def mine_hard_negatives(
    model: Any,
    rows: Rows,
    *,
    pool: Iterable[str] | None = None,
    range: tuple[int, int] = (10, 210),
    negatives: int = 15,
    seed: int = 0,
    margin: float | None = None,
    relative_margin: float | None = None,
    max_score: float | None = None,
    reranker: Any = None,
    vectors: str | os.PathLike[str] | None = None,
    progress: Callable[[int], object] | None = None,
    searched: Callable[[int], object] | None = None,
    place: Place = by_number,
    start: int = 0,
) -> Iterator[Row]:
    """Give each row new negatives, drawn from a range of the model's ranking of a pool for the row's query.

    Passages that equal a positive or the query are left out. Where fewer are left than asked for, others of the pool
    fill them up at random, unless limits of scores are set: then there are fewer. What is drawn depends on the
    seed, the row's number and the ranking alone.

    Args:
        rows: with ``query``, ``pos`` and perhaps ``neg``; other keys are kept. Read twice unless there is a pool; an
            iterator is held as a list for that.
        pool: passages to draw from; by default all that stand in the rows, in order of appearance.
        margin: how far below the lowest score of the row's positives a negative must stay; ``relative_margin`` is a
            share of that score, ``max_score`` a limit for all.
        reranker: adds its scores to each row, as `add_reranker_scores`.
        vectors: an ``.npy`` file that the pool's vectors are kept in; an interrupted run goes on there.
        progress: called with the number of passages of the pool that are encoded, where they are kept in a file.
        searched: called while queries are compared with the pool with the number of rows that this is done for, a part
            of the pool counting as that part of the rows.
        place: what messages call the row of a number.
        start: number of the first row that is given; those before it are only read.

    Raises:
        ValueError: a row is not what it should be, or the pool has too few passages for it; names the row.
    """
    choice = Choice(range, negatives, seed, margin, relative_margin, max_score)
    if pool is None:
        rows = rows if not isinstance(rows, Iterator) else list(rows)
        pool = (text for row in checked(rows, place) for text in (*row["pos"], *(row.get("neg") or ())))
    passages = list(dict.fromkeys(pool))
    if not passages:
        raise ValueError("the pool has no passages; give rows with 'pos' or a pool")
    encoded = _encoded(model, passages, vectors, progress)
    mined = _Miner(model, passages, encoded, choice, place, searched).mined(rows, start)
    return (
        mined if reranker is None else add_reranker_scores(reranker, mined, place=lambda number: place(start + number))
    )


def _encoded(model: Any, passages: list[str], file: Any, progress: Any) -> Any:
    if file is None:
        return dense_passages(model, passages)
    return stored_vectors(
        file, passages, lambda some: dense_passages(model, some, show_progress_bar=False), made_by(model), progress
    )


@dataclass(frozen=True)
class _Miner:
    model: Any
    passages: list[str]
    vectors: Any
    choice: Choice
    place: Place
    searched: Callable[[int], object] | None = None

    def mined(self, rows: Rows, start: int) -> Iterator[Row]:
        for first, whole in windows(checked(rows, self.place), _ROWS):
            if not (window := whole[max(start - first, 0) :]):
                continue
            queries = dense_queries(self.model, [row["query"] for row in window], show_progress_bar=False)
            hits = self._ranked(queries, max(first, start))
            limits = self._limits(queries, window)
            for number, row in enumerate(window):
                yield {**row, "neg": self._negatives(max(first, start) + number, row, hits, number, limits[number])}

    def _ranked(self, queries: Any, first: int) -> Hits:
        """The best passages for queries of rows, of which the first has this number."""
        count = len(self.passages)

        def told(compared: int) -> None:
            if self.searched:
                self.searched(first + len(queries) * compared // count)

        return top_k(queries, self.vectors, min(self.choice.range[1], count), progress=told)

    def _negatives(self, number: int, row: Row, hits: Hits, at: int, limit: float) -> list[str]:
        low, high = self.choice.range
        taken = {row["query"], *row["pos"]}
        ranked = zip(hits.ids[at, low:high].tolist(), hits.scores[at, low:high].tolist(), strict=True)
        texts = [self.passages[place] for place, score in ranked if place >= 0 and score <= limit]
        candidates = [text for text in texts if text not in taken]
        # A string seeds alike in every process.
        random = Random(f"{self.choice.seed}:{number}")
        if len(candidates) > self.choice.negatives:
            return random.sample(candidates, self.choice.negatives)
        if limit < np.inf:
            return candidates
        return candidates + self._fill(random, number, row, {*taken, *candidates}, len(candidates))

    def _fill(self, random: Random, number: int, row: Row, taken: set[str], found: int) -> list[str]:
        """Others of the pool, so that there are as many as asked for."""
        missing = self.choice.negatives - found
        # At most so many of a sample are taken already.
        sample = random.sample(self.passages, min(missing + len(taken), len(self.passages)))
        others = [text for text in sample if text not in taken][:missing]
        if len(others) < missing:
            raise ValueError(
                f"{self.place(number)}: the pool has {found + len(others)} passages that may be negatives of "
                f"{quoted(row['query'])}, fewer than {self.choice.negatives}. Ask for fewer, or give a larger pool"
            )
        return others

    def _limits(self, queries: Any, window: list[Row]) -> list[float]:
        """For each row the highest score of a negative."""
        if not self.choice.compares:
            return [self.choice.limit(None)] * len(window)
        texts = list(dict.fromkeys(text for row in window for text in row["pos"]))
        places = {text: place for place, text in enumerate(texts)}
        vectors = dense_passages(self.model, texts, show_progress_bar=False)
        scores = [
            min((float(query @ vectors[places[text]]) for text in row["pos"]), default=None)
            for query, row in zip(queries, window, strict=True)
        ]
        return [self.choice.limit(score) for score in scores]
