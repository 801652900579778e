"""``rerank``: several queries, with the same passages or each with its own."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bge_fast import FlagReranker
from bge_fast.commands import candidates
from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint

PASSAGES = ["heat transfer in slip flow", "a wing in a slipstream", "boundary layer", "shock waves"]
QUERIES = ["heat", "wings", "layers of air"]


@pytest.fixture(scope="module")
def reranker() -> FlagReranker:
    return FlagReranker(str(checkpoint("tiny-reranker")))


@pytest.fixture
def passages(tmp_path: Path) -> str:
    (tmp_path / "p.txt").write_text("\n".join(PASSAGES) + "\n")
    return str(tmp_path / "p.txt")


def model() -> str:
    return str(checkpoint("tiny-reranker"))


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def jsonl(file: Path, rows: list[Any]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def ranking(one: dict[str, Any], *names: str) -> list[Any]:
    return [[result[name] for name in names] for result in one["results"]]


def test_every_query_with_all_passages(
    reranker: FlagReranker, passages: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["rerank", model(), *QUERIES, "--passages", passages, "--json", "--top", "2"]) == 0
    given = rows_of(capsys)
    for query, one in zip(QUERIES, given, strict=True):
        best = reranker.rank(query, PASSAGES, 2)
        assert one["query"] == query
        assert ranking(one, "rank", "line") == [[1, best[0].position + 1], [2, best[1].position + 1]]
        assert [score for (score,) in ranking(one, "score")] == pytest.approx([score for _, score in best], abs=1e-5)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(QUERIES).encode())))
    assert main(["rerank", model(), "--passages", passages, "--json", "--top", "2"]) == 0
    assert rows_of(capsys) == given


def test_tables_of_several_queries_are_apart(passages: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rerank", model(), "heat", "wings", "--passages", passages, "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[place] for place in (0, 3, 4)] == ["heat", "", "wings"]
    assert len(lines) == 7


@pytest.mark.parametrize("window", [1, 3, 4096])
def test_each_query_with_its_own(
    reranker: FlagReranker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    window: int,
) -> None:
    monkeypatch.setattr(candidates, "_PAIRS", window)
    own = [PASSAGES, [], PASSAGES[:1], [{"text": one, "id": one[:1]} for one in PASSAGES[1:]]]
    rows = [{"id": n, "query": f"query {n}", "passages": some} for n, some in enumerate(own)]
    assert main(["rerank", model(), "--candidates", jsonl(tmp_path / "c.jsonl", rows), "--json"]) == 0
    for row, one in zip(rows, rows_of(capsys), strict=True):
        assert (one["id"], one["query"], "passages" in one) == (row["id"], row["query"], False)
        texts = [passage["text"] if isinstance(passage, dict) else passage for passage in row["passages"]]  # type: ignore[attr-defined]
        best = reranker.rank(str(row["query"]), texts)
        assert ranking(one, "position") == [[position] for position, _ in best]
        assert ranking(one, "passage") == [[row["passages"][position]] for position, _ in best]  # type: ignore[index]
        assert [score for (score,) in ranking(one, "score")] == pytest.approx([score for _, score in best], abs=1e-5)


def test_what_search_writes_is_reranked(
    reranker: FlagReranker, tiny_bert: Path, passages: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", str(tiny_bert), *QUERIES, "--passages", passages, "--passages", passages, "--json"]
    assert main([*words, "--top", "3", "--instruction", ""]) == 0
    (tmp_path / "found.jsonl").write_text(found := capsys.readouterr().out)
    assert main(["rerank", model(), "--candidates", str(tmp_path / "found.jsonl"), "--json", "--normalize"]) == 0
    for before, one in zip(map(json.loads, found.splitlines()), rows_of(capsys), strict=True):
        texts = [result["passage"]["text"] for result in before["results"]]
        best = reranker.rank(before["query"], texts, normalize=True)
        assert ranking(one, "rank") == [[1], [2], [3]]
        kept = [[before["results"][position][name] for name in ("line", "file", "passage")] for position, _ in best]
        assert ranking(one, "line", "file", "passage") == kept
        assert [score for (score,) in ranking(one, "score")] == pytest.approx([score for _, score in best], abs=1e-5)


def test_field_names_the_text_of_objects(
    reranker: FlagReranker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"query": "heat", "passages": [{"body": one} for one in PASSAGES]}]
    file = jsonl(tmp_path / "c.jsonl", rows)
    assert main(["rerank", model(), "--candidates", file, "--field", "body", "--top", "1", "--json"]) == 0
    (one,) = rows_of(capsys)
    assert ranking(one, "position") == [[reranker.rank("heat", PASSAGES)[0].position]]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"query": "q"}, "no list 'passages' of strings or objects, nor 'results'"),
        ({"query": "q", "passages": "one"}, "no list 'passages'"),
        ({"query": "q", "passages": ["a", 3]}, "passages[1]: int, not a string"),
        ({"query": "q", "passages": ["a", "\ud800"]}, "passages[1] is not valid Unicode"),
        ({"query": "q", "passages": [{"body": "a"}]}, "passages[0]: field 'text' is NoneType, not a string"),
        ({"query": "q", "results": ["a"]}, "results[0]: expected an object with 'passage'"),
        ({"passages": ["a"]}, "no field 'query'"),
        ({"query": 3, "passages": ["a"]}, "field 'query' is int, not a string"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], told: str) -> None:
    file = jsonl(tmp_path / "c.jsonl", [{"query": "q", "passages": ["a"]}, row])
    assert main(["rerank", model(), "--candidates", file]) == 1
    assert f"{file}:2: {told}" in capsys.readouterr().err


def test_either_passages_or_candidates(passages: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rerank", model(), "q"]) == 2
    assert main(["rerank", model(), "q", "--passages", passages, "--candidates", passages]) == 2
    capsys.readouterr()
    assert main(["rerank", model(), "q", "--candidates", passages]) == 1
    assert "the queries are in the file" in capsys.readouterr().err
    assert main(["rerank", model(), "--passages", "-"]) == 1
    assert "stdin cannot give both" in capsys.readouterr().err
