"""Hard negatives: the candidates of FlagEmbedding's script, draws that can be repeated, and odd rows."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel
from bge_fast.mining import mine_hard_negatives, negatives

TEXTS = [f"passage {number} of {word}" for number in range(40) for word in ("lift", "drag", "heat flow")]
ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "query": f"question {number} of drag",
        "pos": TEXTS[number : number + 1 + number % 3],
        "note": "kept",
    }
    for number in range(12)
]


def ranking(model: FlagModel, row: dict[str, Any], pool: list[str], low: int, high: int) -> list[str]:
    """What the script searches its candidates in."""
    scores = model.encode(pool) @ model.encode_queries(row["query"])
    return [pool[place] for place in np.argsort(-scores, kind="stable")[low:high]]


def test_negatives_are_candidates_of_the_range(bert: FlagModel) -> None:
    for row, mined in zip(ROWS, mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(5, 30), negatives=7), strict=True):
        assert set(mined["neg"]) <= set(ranking(bert, row, TEXTS, 5, 30)) - {row["query"], *row["pos"]}
        assert len(set(mined["neg"])) == 7
        assert list(mined) == ["id", "query", "pos", "note", "neg"]


def test_all_candidates_are_taken_in_their_order_and_filled_up(bert: FlagModel) -> None:
    for row, mined in zip(ROWS, mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 10), negatives=15), strict=True):
        candidates = [text for text in ranking(bert, row, TEXTS, 0, 10) if text not in {row["query"], *row["pos"]}]
        assert mined["neg"][: len(candidates)] == candidates
        assert len(set(mined["neg"])) == 15
        assert not set(mined["neg"]) & {row["query"], *row["pos"]}


def test_without_a_pool_positives_and_negatives_of_all_rows_are_it(bert: FlagModel) -> None:
    rows = [{"query": "q", "pos": ["a", "b"], "neg": ["c", "a"]}, {"query": "c", "pos": ["d"]}]
    first, second = mine_hard_negatives(bert, iter(rows), range=(0, 9), negatives=2)
    assert sorted(first["neg"]) == ["c", "d"]
    assert set(second["neg"]) <= {"a", "b"}, "the query itself is none"
    assert first.keys() == {"query", "pos", "neg"}


def test_a_seed_gives_the_same_in_every_process(tiny_bert: Path, tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom bge_fast import FlagModel\nfrom bge_fast.mining import mine_hard_negatives\n"
        "rows, pool = json.load(open(sys.argv[2]))\n"
        "found = mine_hard_negatives(FlagModel(sys.argv[1]), rows, pool=pool, range=(0, 50), seed=int(sys.argv[3]))\n"
        "print(json.dumps(list(found)))\n"
    )
    (tmp_path / "rows.json").write_text(json.dumps([ROWS, TEXTS]))

    def mined(seed: int, hash_seed: str) -> str:
        command = [sys.executable, "-c", program, str(tiny_bert), str(tmp_path / "rows.json"), str(seed)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    assert mined(0, "1") == mined(0, "2") != mined(1, "1")


def test_a_row_is_drawn_alike_wherever_a_run_begins(bert: FlagModel) -> None:
    whole = list(mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 60)))
    assert list(mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 60), start=5)) == whole[5:]


def test_rows_that_are_searched_for_are_counted(bert: FlagModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the pool is a part of the rows at hand; those before the start count too."""
    rows, pool = (
        [{"query": f"{number}", "pos": ["a"]} for number in range(8)],
        [f"text {number}" for number in range(20)],
    )
    monkeypatch.setattr(negatives, "_ROWS", 4)
    monkeypatch.setattr(negatives, "top_k", partial(negatives.top_k, block=10))
    for start, expected in ((0, [2, 4, 6, 8]), (2, [3, 4, 6, 8]), (4, [6, 8])):
        counts: list[int] = []
        mined = mine_hard_negatives(
            bert, rows, pool=pool, range=(0, 9), negatives=2, searched=counts.append, start=start
        )
        assert len(list(mined)) == 8 - start
        assert counts == expected


def test_limits_of_scores(bert: FlagModel) -> None:
    limited = mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 120), negatives=120, margin=0.05)
    highest = mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 120), negatives=120, max_score=0.5)
    share = mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 120), negatives=120, relative_margin=0.1)
    scores = bert.encode_queries([row["query"] for row in ROWS]) @ bert.encode_corpus(TEXTS).T
    for row, one, other, third, all_of_it in zip(ROWS, limited, highest, share, scores, strict=True):
        of = dict(zip(TEXTS, all_of_it.tolist(), strict=True))
        lowest = min(of[text] for text in row["pos"])
        for mined, limit in ((one, lowest - 0.05), (other, 0.5), (third, lowest - abs(lowest) * 0.1)):
            expected = {text for text in TEXTS if of[text] <= limit} - {row["query"], *row["pos"]}
            unsure = {text for text in TEXTS if abs(of[text] - limit) < 1e-5}
            assert set(mined["neg"]) - unsure == expected - unsure


def test_vectors_are_kept_and_an_interrupted_run_goes_on(bert: FlagModel, tmp_path: Path) -> None:
    file = tmp_path / "pool.npy"
    first = list(mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 60), vectors=file))
    np.testing.assert_array_equal(np.load(file), bert.encode_corpus(TEXTS))
    written = file.stat().st_mtime_ns
    assert list(mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(0, 60), vectors=file)) == first
    assert file.stat().st_mtime_ns == written
    list(mine_hard_negatives(bert, ROWS, pool=TEXTS[::-1], range=(0, 60), vectors=file))
    np.testing.assert_array_equal(np.load(file), bert.encode_corpus(TEXTS[::-1]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"query": "q", "pos": ["a"]}],
            r"rows\[0\]: the pool has 0 passages that may be negatives of 'q', fewer than 15",
        ),
        ([{"query": 1, "pos": ["a"]}], r"rows\[0\] has no 'query'"),
        ([{"query": "q", "pos": ["a"]}, {"query": "q", "pos": "a"}], r"rows\[1\]: 'pos' is 'a', not a list"),
        ([{"query": "q", "pos": ["a"], "neg": [1]}], r"rows\[0\]: 'neg' is \[1\]"),
        ([], "the pool has no passages"),
    ],
)
def test_what_cannot_be_mined_is_named(bert: FlagModel, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(mine_hard_negatives(bert, rows))


def test_odd_rows_are_mined(bert: FlagModel) -> None:
    rows = [{"query": "", "pos": [""]}, {"query": TEXTS[3], "pos": TEXTS[:28]}, {"query": "x", "pos": []}]
    for row, mined in zip(rows, mine_hard_negatives(bert, rows, pool=[*TEXTS, "", TEXTS[0]]), strict=True):
        assert len(set(mined["neg"]) - {row["query"], *row["pos"]}) == 15


@pytest.mark.parametrize("options", [{"range": (10, 10)}, {"range": (-1, 5)}, {"negatives": 0}])
def test_options_are_checked(bert: FlagModel, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        list(mine_hard_negatives(bert, ROWS, **options))
