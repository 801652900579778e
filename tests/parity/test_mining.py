"""Hard negatives and teacher scores beside the steps of FlagEmbedding's scripts, on its own classes and faiss.

The scripts are in FlagEmbedding's repository alone, not in its package: the steps are written out here.
"""

from __future__ import annotations

from typing import Any

import FlagEmbedding
import numpy as np
import pytest

import bge_fast
from tests.parity.checkpoints import MODELS
from tests.parity.test_evaluation import OPTIONS, Collection

faiss = pytest.importorskip("faiss")
BATCH = 64


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Cranfield's queries with titles that answer them."""
    collection = Collection(titles_alone=True)
    texts = {key: passage["text"] for key, passage in collection.corpus.items()}
    relevant = {
        query: [texts[key] for key, grade in grades.items() if grade > 0]
        for query, grades in collection.judgements.items()
    }
    return [{"query": collection.queries[query], "pos": texts} for query, texts in relevant.items() if texts]


@pytest.fixture(scope="module")
def pool() -> list[str]:
    return list(dict.fromkeys(passage["text"] for passage in Collection(titles_alone=True).corpus.values()))


def candidates_of_the_script(
    rows: list[dict[str, Any]], pool: list[str], low: int, high: int
) -> list[dict[str, float]]:
    """Texts of the range with their scores, without positives and the query."""
    model = FlagEmbedding.FlagModel(str(MODELS / "tiny-bert"), **OPTIONS)
    index = faiss.IndexFlatIP(model.encode(pool[:1]).shape[1])
    index.add(model.encode(pool))
    queries = model.encode_queries([row["query"] for row in rows])
    found = [index.search(queries[at : at + BATCH], high) for at in range(0, len(queries), BATCH)]
    scores, ids = (np.concatenate(parts)[:, low:high] for parts in zip(*found, strict=True))
    return [
        {
            pool[place]: float(score)
            for place, score in zip(places, of_row, strict=True)
            if pool[place] not in row["pos"] and pool[place] != row["query"]
        }
        for row, places, of_row in zip(rows, ids, scores, strict=True)
    ]


def test_candidates_are_the_scripts(rows: list[dict[str, Any]], pool: list[str]) -> None:
    """With as many negatives as the range is wide, the script takes all candidates in their order, and then others."""
    low, high = 10, 40
    model = bge_fast.FlagModel(str(MODELS / "tiny-bert"), **OPTIONS)
    theirs = candidates_of_the_script(rows, pool, low, high)
    ours = bge_fast.mine_hard_negatives(model, rows, pool=pool, range=(low, high), negatives=high - low)
    for row, mined, expected in zip(rows, ours, theirs, strict=True):
        found = mined["neg"][: len(expected)]
        scores = dict(zip(found, model.encode(found) @ model.encode_queries(row["query"]), strict=True))
        assert list(scores.values()) == pytest.approx(list(expected.values()), abs=1e-5), row["query"]
        # Those of nearly equal scores may change places, also over the ends of the range.
        ends = min(expected.values()), max(expected.values())
        for text in scores.keys() ^ expected.keys():
            score = float({**expected, **scores}[text])
            assert min(abs(score - end) for end in ends) <= 1e-5, (row["query"], text)


def test_scores_are_the_scripts(rows: list[dict[str, Any]], pool: list[str]) -> None:
    some = [{**row, "neg": pool[at * 3 : at * 3 + 3]} for at, row in enumerate(rows[:20])]
    model = FlagEmbedding.FlagReranker(str(MODELS / "tiny-reranker-bert"), **OPTIONS)
    scored = bge_fast.add_reranker_scores(bge_fast.FlagReranker(str(MODELS / "tiny-reranker-bert"), **OPTIONS), some)
    pairs = [(row["query"], text) for row in some for text in (*row["pos"], *row["neg"])]
    ours = [score for row in scored for score in (*row["pos_scores"], *row["neg_scores"])]
    assert ours == pytest.approx(model.compute_score(pairs), abs=1e-4)
