"""``bench``: which figures there are, what they say, and what they are compared with. How large they are is no test."""

import json
import mmap
from pathlib import Path
from typing import Any

import pytest

from bge_fast.commands import measures, memory
from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint

QUICK = ["--seconds", "0.01", "--lengths", "24", "40"]


def measured(capsys: pytest.CaptureFixture[str], model: str, *more: str) -> dict[str, Any]:
    assert main(["bench", str(checkpoint(model)), *QUICK, *more, "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


@pytest.mark.parametrize(
    ("model", "unit"),
    [("tiny-bert", "texts"), ("tiny-m3", "texts"), ("tiny-reranker", "pairs"), ("decoder-qwen3", "texts")],
)
def test_every_kind_of_model(capsys: pytest.CaptureFixture[str], model: str, unit: str) -> None:
    facts = measured(capsys, model, "--threads", "1")
    assert (facts["unit"], facts["model"]["threads"], facts["by_threads"]) == (unit, 1, [])
    assert 0 < facts["single"]["p50_ms"] <= facts["single"]["p95_ms"] <= facts["single"]["p99_ms"]
    assert [one["tokens"] for one in facts["many"]] == [24, 40]
    for one in facts["many"]:
        assert one["per_second"] > 0
        assert one["tokens"] - 4 < one["mean_tokens"] <= one["tokens"]
    assert facts["options"]["lengths"] == [24, 40]
    assert facts["private_mb"] > 0
    assert facts["mapped_mb"] >= 0


def test_threads_up_to_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = measured(capsys, "tiny-bert")
    assert [(one["threads"], one["tokens"]) for one in facts["by_threads"]] == [(1, 40), (2, 40), (3, 40)]


def test_what_is_shown_beside_what_was_measured_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = measured(capsys, "tiny-bert", "--threads", "1")
    before["many"][0]["per_second"] = 1e-3
    before["model"]["precision"] = "bf16"
    (tmp_path / "before.json").write_text(json.dumps(before))
    words = ["bench", str(checkpoint("tiny-bert")), "--seconds", "0.01", "--lengths", "24", "32", "--threads", "1"]
    assert main([*words, "--compare-to", str(tmp_path / "before.json")]) == 0
    shown = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["precision"].strip() == "fp32 (before: bf16)"
    assert shown["lengths"].strip() == "24 32 (before: 24 40)"
    assert " × 0.0 a second" in shown["texts of 24 tokens"]
    assert "×" in shown["one of 24 tokens, p50"]
    assert "×" not in shown["texts of 32 tokens"], "there was no such figure"


def test_what_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(checkpoint("tiny-bert"))
    assert main(["bench", model, "--lengths", "1024"]) == 1
    assert "--lengths 1024 is more than --max-length 512" in capsys.readouterr().err
    cut = measured(capsys, "tiny-bert")
    del cut["machine"]
    for content in ("{}", "[1]", "no JSON", json.dumps(cut)):
        (tmp_path / "f.json").write_text(content)
        assert main(["bench", model, *QUICK, "--compare-to", str(tmp_path / "f.json")]) == 1
        assert "f.json is not what bench --json writes" in capsys.readouterr().err
    for words in (["--seconds", "0"], ["--seconds", "nan"], ["--lengths", "0"]):
        assert main(["bench", model, *words]) == 2


def test_texts_have_as_many_tokens_as_asked_for() -> None:
    def letters(text: str) -> int:
        return len(text.replace(" ", "")) + 2

    for tokens in (1, 8, 100):
        texts = measures.texts_of(tokens, letters, 50)
        assert texts == measures.texts_of(tokens, letters, 50), "the same in every run"
        assert all(letters(text) <= max(tokens, 13) for text in texts)
        assert tokens < 100 or len(set(texts)) == 50


def test_a_rate_is_that_of_the_median_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only calls move: 2 ms a text, now and then ten times as much."""
    now, calls = 0.0, 0

    def call(count: int) -> None:
        nonlocal now, calls
        calls += 1
        now += count * 2e-3 * (1 if calls % 5 else 10)

    monkeypatch.setattr(measures.time, "perf_counter", lambda: now)
    assert measures.rate(call, 5.0) == pytest.approx(500)
    assert measures.latency(lambda _: call(1), 5.0).p50_ms == pytest.approx(2)
    assert measures.latency(lambda _: call(1), 5.0).p95_ms == pytest.approx(20)


def test_mapped_memory_is_that_of_the_named_files(tmp_path: Path) -> None:
    files = [tmp_path / "one file", tmp_path / "other"]
    for file in files:
        file.write_bytes(b"x" * 3_000_000)
    with files[0].open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:].count(b"x") == 3_000_000
        assert memory.mapped_megabytes([str(files[0])]) == pytest.approx(3, abs=0.1)
        assert memory.mapped_megabytes([str(files[1])]) == 0
