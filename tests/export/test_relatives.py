"""BERT's relatives: a row each, and what sets their exports apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.export.running import MODELS, Command
from tests.parity.cases import RELATIVES


@pytest.mark.parametrize("name", RELATIVES)
def test_a_relative_is_exported(name: str, place: Path, command: Command) -> None:
    for checkpoint, kind in ((f"tiny-{name}", "embedder"), (f"tiny-reranker-{name}", "reranker")):
        assert command(MODELS / checkpoint, "-o", place / checkpoint).status == 0
        manifest = json.loads((place / checkpoint / "bge_fast.json").read_text())
        assert (manifest["architecture"], manifest["kind"], manifest["max_length"]) == (name, kind, 512)
        graphs = {graph["precision"]: graph["parity"]["max_abs"] for graph in manifest["graphs"].values()}
        assert set(graphs) == ({"fp32"} if name == "mpnet" else {"fp32", "fp16"})
        assert graphs["fp32"] < 2e-5


def test_mpnet_has_no_fp16_graph(place: Path, command: Command) -> None:
    both = command(MODELS / "tiny-mpnet", "-o", place / "both")
    assert "fp32 only" in both.err
    alone = command(MODELS / "tiny-mpnet", "-o", place / "alone", "--precision", "fp16")
    assert alone.status == 1
    assert 'no fp16 graph of the architecture "mpnet"; fp32 works' in alone.err
    assert not (place / "alone").exists()


def test_distilbert_is_checked_by_its_own_keys(copy_of, place: Path, command: Command) -> None:
    folder = copy_of("tiny-distilbert")
    config = json.loads((folder / "config.json").read_text())
    for key, value, said in (("dim", None, "no dim"), ("activation", "relu", 'activation is "relu"')):
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        run = command(folder, "-o", place / "out")
        assert run.status == 1
        assert said in run.err
