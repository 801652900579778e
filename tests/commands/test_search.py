"""Search in vectors that are stored, in several files, and with a reranker behind it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.commands import progress, texts
from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint

TEXTS = [f"{word} of body {number}" for number in range(9) for word in ("lift", "drag", "heat flow")]
QUERIES = ["what is lift?", "heat"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Passages in two files, the second JSONL."""
    (tmp_path / "one.txt").write_text("\n".join(TEXTS[:10]) + "\n")
    (tmp_path / "two.jsonl").write_text(
        "".join(json.dumps({"text": text, "n": at}) + "\n" for at, text in enumerate(TEXTS[10:]))
    )
    return [str(tmp_path / "one.txt"), str(tmp_path / "two.jsonl")]


def options(files: list[str]) -> list[str]:
    return [word for file in files for word in ("--passages", file)]


def found(capsys: pytest.CaptureFixture[str]) -> list[list[dict[str, Any]]]:
    return [json.loads(line)["results"] for line in capsys.readouterr().out.splitlines()]


def best(model: FlagModel, top: int) -> list[list[str]]:
    scores = model.encode_queries(QUERIES) @ model.encode_corpus(TEXTS).T
    return [[TEXTS[place] for place in np.argsort(-row, kind="stable")[:top]] for row in scores]


def text_of(result: dict[str, Any]) -> str:
    text: str = result["passage"]["text"]
    return text


@pytest.mark.parametrize("chunk", [4, 1024])
@pytest.mark.parametrize("stored", [False, True])
def test_passages_of_several_files(
    tiny_bert: Path,
    bert: FlagModel,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stored: bool,
    chunk: int,
) -> None:
    monkeypatch.setattr(texts, "CHUNK_TEXTS", chunk)
    words = ["search", str(tiny_bert), *QUERIES, *options(files), "--top", "6", "--json"]
    if stored:
        assert main(["embed", str(tiny_bert), *files, "-o", str(tmp_path / "x.npy")]) == 0
        monkeypatch.setattr("bge_fast.commands.search.vectors_of", None)
        words += ["--vectors", str(tmp_path / "x.npy")]
    assert main(words) == 0
    results = found(capsys)
    assert [[text_of(one) for one in row] for row in results] == best(bert, 6)
    for one in (one for row in results for one in row):
        place = TEXTS.index(text_of(one))
        assert (one["file"], one["line"]) == ((files[0], place + 1) if place < 10 else (files[1], place - 9))


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_vectors_of_fewer_bits(
    tiny_bert: Path, bert: FlagModel, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str
) -> None:
    vectors = bert.encode_corpus(TEXTS)
    np.save(tmp_path / "x.npy", (vectors * 127).round().astype(dtype) if dtype == "int8" else vectors.astype(dtype))
    words = [
        "search",
        str(tiny_bert),
        *QUERIES,
        *options(files),
        "--top",
        "1",
        "--json",
        "--vectors",
        str(tmp_path / "x.npy"),
    ]
    assert main(words) == 0
    expected = np.load(tmp_path / "x.npy").astype(np.float32) @ bert.encode_queries(QUERIES).T
    assert [row[0]["score"] for row in found(capsys)] == pytest.approx(expected.max(axis=0).tolist(), rel=1e-5)


def test_vectors_of_other_passages_are_refused(
    tiny_bert: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.ones((12, 32), np.float32))
    words = ["search", str(tiny_bert), "lift", *options(files), "--vectors", str(tmp_path / "x.npy")]
    assert main(words) == 1
    assert "x.npy has 12 vectors, but there are 27 passages" in capsys.readouterr().err
    np.save(tmp_path / "x.npy", np.ones((27, 16), np.float32))
    assert main(words) == 1
    assert "vectors have 16 components" in capsys.readouterr().err


def test_a_reranker_sorts_the_best_again(
    tiny_bert: Path, bert: FlagModel, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    reranker = checkpoint("tiny-reranker-bert")
    words = ["search", str(tiny_bert), *QUERIES, *options(files), "--rerank", str(reranker), "--rerank-top-k", "8"]
    assert main([*words, "--top", "3", "--json"]) == 0
    model = FlagReranker(str(reranker))
    for query, candidates, row in zip(QUERIES, best(bert, 8), found(capsys), strict=True):
        ranked = model.rank(query, candidates, 3)
        assert [text_of(one) for one in row] == [candidates[place] for place, _ in ranked]
        assert [one["score"] for one in row] == pytest.approx([score for _, score in ranked], abs=1e-5)


def test_more_than_there_is(tiny_bert: Path, files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(tiny_bert), "lift", *options(files), "--top", str(10**17), "--json"]) == 0
    assert len(found(capsys)[0]) == len(TEXTS)


def test_a_bar_of_vectors_where_somebody_watches(
    tiny_bert: Path,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["embed", str(tiny_bert), *files, "-o", str(tmp_path / "x.npy")]) == 0
    words = ["search", str(tiny_bert), "lift", *options(files), "--vectors", str(tmp_path / "x.npy")]
    monkeypatch.setattr(progress, "DELAY", 0)
    assert main(words) == 0
    assert "vector" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    assert main(words) == 0
    assert re.search(r"27/27 \[.*vector/s", capsys.readouterr().err)
