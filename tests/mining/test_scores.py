"""Teacher scores and parts of like length."""

from math import inf
from typing import Any

import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.mining import add_reranker_scores, lengths, mine_hard_negatives, scores, split_by_length
from bge_fast.mining.lengths import with_lengths
from tests.support.checkpoints import checkpoint

ROWS: list[dict[str, Any]] = [
    {
        "query": f"query {number}",
        "pos": ["a wing"] * (number % 3),
        "neg": [f"passage {number}", "lift " * number],
        "id": number,
    }
    for number in range(9)
]


@pytest.fixture(scope="module")
def reranker() -> FlagReranker:
    return FlagReranker(str(checkpoint("tiny-reranker-bert")))


@pytest.mark.parametrize("pairs", [1, 7, 2048])
def test_scores_are_the_rerankers(reranker: FlagReranker, monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    monkeypatch.setattr(scores, "_PAIRS", pairs)
    for row, scored in zip(ROWS, add_reranker_scores(reranker, iter(ROWS)), strict=True):
        assert list(scored) == ["query", "pos", "neg", "id", "pos_scores", "neg_scores"]
        for key in ("pos", "neg"):
            expected = reranker.compute_score([(row["query"], text) for text in row[key]]) if row[key] else []
            assert scored[f"{key}_scores"] == pytest.approx(expected, abs=1e-5)


def test_normalized_scores_lie_between_0_and_1(reranker: FlagReranker) -> None:
    scored = list(add_reranker_scores(reranker, ROWS, normalize=True))
    assert all(0 <= score <= 1 for row in scored for score in row["neg_scores"])


def test_mined_rows_are_scored_in_the_same_pass(bert: FlagModel, reranker: FlagReranker) -> None:
    rows = [{"query": "lift", "pos": ["a"]}, {"query": "drag", "pos": ["b"]}]
    mined = list(mine_hard_negatives(bert, rows, pool=[*"abcdefgh"], range=(0, 8), negatives=3, reranker=reranker))
    assert [len(row["neg_scores"]) for row in mined] == [3, 3]


def test_a_row_without_negatives_is_named(reranker: FlagReranker) -> None:
    with pytest.raises(ValueError, match=r"rows\[1\]: 'neg' is None"):
        list(add_reranker_scores(reranker, [ROWS[0], {"query": "q", "pos": ["a"]}]))


@pytest.mark.parametrize("window", [2, 256])
def test_rows_are_sorted_by_their_longest_text(bert: FlagModel, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(lengths, "_ROWS", window)
    encode = bert.tokenizer.encode
    longest = [max(len(encode(text)) for text in (row["query"], *row["pos"], *row["neg"])) for row in ROWS]
    bounds = [4, longest[4], 1000]
    parts = split_by_length(bert, ROWS, bounds)
    assert list(parts) == [(4, longest[4]), (longest[4], 1000), (1000, inf)]
    for (low, high), rows in parts.items():
        assert rows == [row for row, length in zip(ROWS, longest, strict=True) if low <= length < high]
    assert parts[(1000, inf)] == []


def test_long_texts_are_not_cut(bert: FlagModel) -> None:
    ((_, length),) = with_lengths(bert.tokenizer, [{"query": "q", "pos": ["lift " * 900]}])
    assert length == len(bert.tokenizer.encode("lift " * 900)) > 900


@pytest.mark.parametrize("bounds", [[], [5, 5], [5, 1], [-1, 3]])
def test_bounds_must_rise(bert: FlagModel, bounds: list[int]) -> None:
    with pytest.raises(ValueError, match="must be numbers of tokens that rise"):
        split_by_length(bert, ROWS, bounds)
