"""The command line with decoder-only models: the class is that of the files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagICLModel, FlagLLMModel, LayerWiseFlagLLMReranker, LightWeightFlagLLMReranker
from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint

LINES = ["pressure above a wing", "热边界层", "heat transfer " * 30]


@pytest.fixture
def lines(tmp_path: Path) -> str:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return str(path)


def embedded(capsys: pytest.CaptureFixture[str], *words: str) -> np.ndarray:
    assert main(["embed", *words]) == 0
    return np.array([json.loads(line)["embedding"] for line in capsys.readouterr().out.splitlines()], np.float32)


def ranked(capsys: pytest.CaptureFixture[str], *words: str) -> list[float]:
    assert main(["rerank", *words, "--json"]) == 0
    return [result["score"] for result in json.loads(capsys.readouterr().out)["results"]]


def test_embed_takes_the_class_of_the_files(lines, capsys, tmp_path):
    folder = str(checkpoint("decoder-qwen3"))
    model = FlagLLMModel(folder)
    assert np.allclose(embedded(capsys, folder, lines), model.encode(LINES), atol=2e-6)
    wanted = model.encode([f"Instruct: Find it\nQuery: {line}" for line in LINES])
    assert np.allclose(embedded(capsys, folder, lines, "--instruction", "Find it"), wanted, atol=2e-6)
    named = str(shutil.copytree(checkpoint("decoder-mistral"), tmp_path / "bge-en-icl"))
    icl = FlagICLModel(named, query_instruction_for_retrieval="Find it")
    wanted = icl.encode_queries(LINES)
    assert np.allclose(embedded(capsys, named, lines, "--query", "--instruction", "Find it"), wanted, atol=2e-6)


def test_queries_without_an_instruction_get_a_note(lines, capsys, tmp_path):
    named = str(shutil.copytree(checkpoint("decoder-qwen3"), tmp_path / "Qwen3-Embedding-0.6B"))
    assert main(["search", named, "lift", "--passages", lines, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "Pass --instruction TEXT" in err
    assert len(json.loads(out)["results"]) == 3


def test_rerank_takes_the_class_of_the_files(lines, capsys):
    layerwise, light = (str(checkpoint(name)) for name in ("decoder-layerwise", "decoder-lightweight"))
    pairs = [("lift", line) for line in LINES]
    wanted = LayerWiseFlagLLMReranker(layerwise).compute_score(pairs, cutoff_layers=3)
    assert ranked(capsys, layerwise, "lift", "--passages", lines, "--cutoff-layers", "3") == sorted(wanted)[::-1]
    options = {"cutoff_layers": 4, "compress_ratio": 2, "compress_layers": [2, 3]}
    wanted = LightWeightFlagLLMReranker(light).compute_score(pairs, **options)
    words = ["--cutoff-layers", "4", "--compress-ratio", "2", "--compress-layers", "2", "3"]
    assert ranked(capsys, light, "lift", "--passages", lines, *words) == sorted(wanted)[::-1]
    assert len(ranked(capsys, str(checkpoint("decoder-reranker-gemma")), "lift", "--passages", lines)) == 3


def test_what_a_class_is_without_is_an_error(lines, capsys):
    words = ["--passages", lines, "--cutoff-layers", "3"]
    assert main(["rerank", str(checkpoint("tiny-reranker")), "lift", *words]) == 1
    assert "opens with FlagReranker, which has no --cutoff-layers" in capsys.readouterr().err
    assert main(["embed", str(checkpoint("decoder-layerwise")), lines]) == 1
    assert "see LayerWiseFlagLLMReranker" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "folder", "kind", "wanted"),
    [
        ("bge-reranker-v2-gemma", "decoder-reranker-gemma", "reranker", "FlagLLMReranker"),
        ("anything", "decoder-layerwise", "reranker", "LayerWiseFlagLLMReranker"),
        ("bge-en-icl", "decoder-mistral", "embedder", "FlagICLModel"),
        ("anything", "decoder-gemma2", "embedder", "FlagLLMModel"),
        ("anything", "tiny-bert", "embedder", "FlagModel"),
    ],
)
def test_info_names_the_class(name, folder, kind, wanted, tmp_path, capsys):
    copy = str(shutil.copytree(checkpoint(folder), tmp_path / name))
    assert main(["info", copy, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["class"]) == (kind, wanted)


def test_compare_takes_decoders_too(lines, capsys, tmp_path):
    many = tmp_path / "many.txt"
    many.write_text("\n".join(f"{line} {number}" for number in range(10) for line in LINES), encoding="utf-8")
    for name in ("decoder-qwen3", "decoder-layerwise"):
        assert main(["compare", str(checkpoint(name)), str(many), "--precision", "bf16", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["top_10_overlap"] > 0.8


def test_the_verbs_around_a_model_take_int4(capsys, tmp_path):
    """Where a model has it, with its numbers; where it has not, with its error."""
    row = {"query": "lift", "pos": LINES[:1], "neg": LINES[1:]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    scored = {}
    for precision in ("fp32", "int4"):
        words = [str(checkpoint("decoder-reranker-gemma")), str(tmp_path / "rows.jsonl"), "--precision", precision]
        assert main(["score", *words]) == 0
        scored[precision] = json.loads(capsys.readouterr().out)["neg_scores"]
    assert scored["int4"] != scored["fp32"]
    assert np.allclose(scored["int4"], scored["fp32"], atol=3)
    assert main(["mine", str(checkpoint("tiny-bert")), str(tmp_path / "rows.jsonl"), "--precision", "int4"]) == 1
    assert "int4" in capsys.readouterr().err
