"""mteb's own trial of models, offline; skipped, with the reason, where mteb is absent. No lock names it: it brings much."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import bge_fast
from bge_fast.evaluation.mteb import MtebCrossEncoder, MtebEncoder
from tests.parity.checkpoints import MODELS

mteb = pytest.importorskip("mteb", reason="mteb is not installed: pip install 'mteb>=2'")
pytestmark = pytest.mark.filterwarnings("ignore")


def trial(model: Any) -> tuple[Counter[str], dict[str, Any]]:
    """How many tasks ended in which way, and each."""
    tasks = dict(mteb.mock_run(model).items())
    return Counter(type(one).__name__ for one in tasks.values()), tasks


@pytest.mark.parametrize(("build", "name"), [(bge_fast.FlagModel, "tiny-bert"), (bge_fast.BGEM3FlagModel, "tiny-m3")])
def test_an_embedder_runs_all_tasks_of_texts(build: Any, name: str) -> None:
    counts, tasks = trial(MtebEncoder(build(str(MODELS / name), devices="cpu")))
    assert counts == {"TaskResult": 28, "NoneType": 32}, tasks


def test_a_reranker_runs_what_has_candidates() -> None:
    """Tasks without candidates for each query say that a cross-encoder cannot run them."""
    reranker = bge_fast.FlagReranker(str(MODELS / "tiny-reranker-bert"), devices="cpu")
    counts, tasks = trial(MtebCrossEncoder(reranker))
    assert counts == {"TaskResult": 4, "TaskError": 5, "NoneType": 51}, tasks
    assert all(
        "top_ranked" in str(one) or "top ranked" in str(one) for one in tasks.values() if "Error" in type(one).__name__
    )
