"""The Cranfield collection: 1,400 abstracts, 225 queries, 1,612 judgements; and the quality figure taken from it.

The files (`corpus.jsonl`, `queries.jsonl`, `qrels.tsv`, in BEIR's form) are not part of this repository.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "cranfield"
DEPTH = 10


@dataclass(frozen=True)
class Cranfield:
    """Texts in file order, and for each query the rows of `passages` that answer it."""

    queries: list[str]
    passages: list[str]
    relevant: list[frozenset[int]]


def is_there(folder: Path = FOLDER) -> bool:
    """Whether the three files are in `folder`."""
    return all((folder / name).is_file() for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"))


@lru_cache
def load(folder: Path = FOLDER) -> Cranfield:
    """Read the collection. A passage is its title and its text, joined by a space."""
    corpus = _read_lines(folder / "corpus.jsonl")
    queries = _read_lines(folder / "queries.jsonl")
    row = {passage["_id"]: index for index, passage in enumerate(corpus)}
    relevant: dict[str, set[int]] = defaultdict(set)
    with (folder / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        for judgement in csv.DictReader(file, delimiter="\t"):
            if int(judgement["score"]) > 0:
                relevant[judgement["query-id"]].add(row[judgement["corpus-id"]])
    return Cranfield(
        queries=[query["text"] for query in queries],
        passages=[f"{passage['title']} {passage['text']}".strip() for passage in corpus],
        relevant=[frozenset(relevant[query["_id"]]) for query in queries],
    )


def ndcg_at_10(
    query_vectors: NDArray[np.float32], passage_vectors: NDArray[np.float32], collection: Cranfield | None = None
) -> float:
    """Mean nDCG@10 of the queries: gain 1 for a relevant passage, discount log2(rank + 1), ranked by inner product."""
    relevant = (collection or load()).relevant
    discount = 1 / np.log2(np.arange(DEPTH) + 2)
    scores = query_vectors @ passage_vectors.T
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    total = 0.0
    for best, answers in zip(ranked, relevant, strict=True):
        gain = np.array([row in answers for row in best.tolist()])
        ideal = discount[: len(answers)].sum()
        total += (gain * discount).sum() / ideal
    return float(total / len(relevant))


def mean_average_precision(
    query_vectors: NDArray[np.float32], passage_vectors: NDArray[np.float32], collection: Cranfield | None = None
) -> float:
    """Mean over the queries of the precision at each relevant passage, of all passages ranked by inner product."""
    relevant = (collection or load()).relevant
    ranked = np.argsort(-(query_vectors @ passage_vectors.T), axis=1, kind="stable")
    total = 0.0
    for order, answers in zip(ranked, relevant, strict=True):
        found = np.flatnonzero(np.isin(order, list(answers))) + 1
        total += (np.arange(1, len(found) + 1) / found).sum() / len(answers)
    return float(total / len(relevant))


def _read_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
