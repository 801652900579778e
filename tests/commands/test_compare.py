"""`bge-fast compare`: figures of two computations that differ by what the test knows."""

import json
import math
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.commands import agreement, compare
from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint

WORDS = "wing shock boundary layer heat flow plate speed sound jet drag lift".split()
TEXTS = [" ".join(WORDS[n % 12 :] + WORDS[: n % 5] * (n // 12 + 1)) for n in range(40)]
ODD = 7


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join([*TEXTS, TEXTS[0], TEXTS[3]]) + "\n")
    return path


class Turned(FlagModel):
    """Vectors as they are, but for one text's: there two components change places."""

    def encode_corpus(self, texts: Any, **options: Any) -> Any:
        vectors = super().encode_corpus(texts, **options)
        for row in (row for row, text in enumerate(texts) if text == TEXTS[ODD]):
            vectors[row, :2] = vectors[row, 1::-1]
        return vectors


class Reversed(FlagReranker):
    """The opposite of each score."""

    def compute_score(self, pairs: Any, **options: Any) -> list[float]:
        return [-score for score in super().compute_score(pairs, **options)]


def open_either(args: Namespace) -> FlagModel:
    return {"fp32": FlagModel, "int8": Turned}[args.precision](args.model, devices="cpu", threads=1)


def compared(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["compare", *words, "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_vectors(lines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(compare, "open_embedder", open_either)
    folder = checkpoint("tiny-bert")
    facts = compared(capsys, str(folder), str(lines), "--precision", "int8")
    exact = FlagModel(str(folder), devices="cpu").encode(TEXTS)
    turned = exact[ODD].copy()
    turned[:2] = turned[1::-1]
    least = float(turned @ exact[ODD])
    assert (facts["texts"], facts["precision"]) == (len(TEXTS), "int8")
    assert facts["cosine"]["least"] == pytest.approx(least, abs=1e-6)
    assert facts["cosine"]["mean"] == pytest.approx(1 - (1 - least) / len(TEXTS), abs=1e-6)
    assert facts["cosine"]["least_at"] == f"{lines}:{ODD + 1}"
    moved = np.abs(exact @ (turned - exact[ODD]))
    moved[ODD] = 0
    assert facts["largest_score_change"] == pytest.approx(moved.max(), abs=1e-6)
    assert 0 < facts["top_10_overlap"] <= 1
    assert facts["speed"] > 0
    assert facts["per_second"].keys() == facts["private_mb"].keys() == {"fp32", "int8"}


def test_scores_of_a_reranker(lines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def either(args: Namespace) -> FlagReranker:
        return {"fp32": FlagReranker, "int8": Reversed}[args.precision](args.model, devices="cpu")

    monkeypatch.setattr(compare, "open_reranker", either)
    folder = checkpoint("tiny-reranker")
    facts = compared(capsys, str(folder), str(lines), "--precision", "int8")
    scores = FlagReranker(str(folder), devices="cpu").compute_score([(q, p) for q in TEXTS[:10] for p in TEXTS[10:]])
    assert (facts["queries"], facts["passages"]) == (10, 30)
    assert facts["largest_score_change"] == pytest.approx(2 * np.abs(scores).max(), abs=1e-5)
    assert facts["top_10_overlap"] == 0, "the ten best of thirty are the ten worst"
    assert "cosine" not in facts


def test_lines_for_people(lines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(compare, "open_embedder", open_either)
    assert main(["compare", str(checkpoint("tiny-bert")), str(lines), "--precision", "int8"]) == 0
    names = ["texts", "cosine to fp32", "top-10 overlap", "largest score change", "speed", "private memory"]
    for line, name in zip(capsys.readouterr().out.splitlines(), names, strict=True):
        assert line.startswith(f"{name}  ")


def test_too_few_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.txt"
    few.write_text("\n".join(TEXTS[:20] + TEXTS[:5]))
    assert main(["compare", str(checkpoint("tiny-bert")), str(few), "--precision", "int8"]) == 1
    assert "20 different texts are too few" in capsys.readouterr().err


def test_the_precision_must_be_named(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "any", str(lines)]) == 2
    assert "--precision" in capsys.readouterr().err


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_agreement_is_that_of_all_scores_at_once(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_BLOCK", block)
    source = np.random.default_rng(3)
    exact = source.standard_normal((30, 8)).astype(np.float32)
    other = (exact + 0.2 * source.standard_normal((30, 8))).astype(np.float32)
    found = agreement.of_vectors(exact, other)
    kept = []
    for row in range(30):
        best = [set(sorted({*range(30)} - {row}, key=lambda n: -(m @ m[row])[n])[:10]) for m in (exact, other)]
        kept.append(len(best[0] & best[1]) / 10)
    assert found.overlap == pytest.approx(sum(kept) / 30)
    assert 0.3 < found.overlap < 1
    assert found.score_change == pytest.approx(np.abs(exact @ exact.T - other @ other.T).max(), rel=1e-5)
    assert math.isclose(agreement.of_vectors(exact, exact.copy()).overlap, 1)


def test_int8_of_a_checkpoint_is_near_fp32_and_not_the_same(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = compared(capsys, str(checkpoint("tiny-bert")), str(lines), "--precision", "int8", "--threads", "1")
    assert 0.99 < facts["cosine"]["least"] <= facts["cosine"]["mean"] < 1
    assert 0 < facts["largest_score_change"] < 0.1
    assert facts["top_10_overlap"] > 0.5


def test_an_exported_graph_has_no_other_precision(
    lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "graph-alone"
    shutil.copytree(checkpoint("tiny-bert"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    assert main(["compare", str(folder), str(lines), "--precision", "int8"]) == 1
    assert "int8 is computed from a checkpoint" in capsys.readouterr().err
