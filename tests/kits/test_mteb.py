"""mteb's own trial of models, offline."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import bge_fast
from bge_fast.evaluation import Dataset, evaluate
from bge_fast.integrations.mteb import MtebCrossEncoder, MtebEncoder
from tests.support.checkpoints import checkpoint

mteb = pytest.importorskip("mteb", reason="mteb is not installed: make test-kits")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]


def trial(model: Any) -> tuple[Counter[str], dict[str, Any]]:
    """How many tasks ended in which way, and each."""
    tasks = dict(mteb.mock_run(model).items())
    return Counter(type(one).__name__ for one in tasks.values()), tasks


@pytest.mark.parametrize(("build", "name"), [(bge_fast.FlagModel, "tiny-bert"), (bge_fast.BGEM3FlagModel, "tiny-m3")])
def test_an_embedder_runs_all_tasks_of_texts(build: Any, name: str) -> None:
    counts, tasks = trial(MtebEncoder(build(str(checkpoint(name)), devices="cpu")))
    assert counts == {"TaskResult": 28, "NoneType": 32}, tasks


def test_a_reranker_runs_what_has_candidates() -> None:
    """Tasks without candidates for each query say that a cross-encoder cannot run them."""
    reranker = bge_fast.FlagReranker(str(checkpoint("tiny-reranker-bert")), devices="cpu")
    counts, tasks = trial(MtebCrossEncoder(reranker))
    assert counts == {"TaskResult": 4, "TaskError": 5, "NoneType": 51}, tasks
    assert all(
        "top_ranked" in str(one) or "top ranked" in str(one) for one in tasks.values() if "Error" in type(one).__name__
    )


WORDS = ("lift", "drag", "heat flow", "slip flow", "shock waves", "flutter")
DATA = Dataset(
    corpus={f"d{place}": f"{WORDS[place % 6]} of body {place} in a {WORDS[place % 5]} field" for place in range(60)},
    queries={f"q{number}": f"what is {word}?" for number, word in enumerate(WORDS)},
    qrels={f"q{number}": {f"d{place}": 1 + place % 2 for place in range(number, 60, 9)} for number in range(6)},
)


def task(data: Dataset) -> Any:
    """A collection as mteb has it, without a download."""
    from datasets import Dataset as Table
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.mocks.mock_tasks.retrieval import MockRetrievalTask

    class Bodies(AbsTaskRetrieval):
        metadata = MockRetrievalTask.metadata.model_copy(update={"name": "Bodies", "eval_splits": ["test"]})

        def load_data(self, **_: Any) -> None:
            corpus = [{"id": key, "title": "", "text": text} for key, text in data.corpus.items()]
            queries = [{"id": key, "text": text} for key, text in data.queries.items()]
            split = {
                "corpus": Table.from_list(corpus),
                "queries": Table.from_list(queries),
                "relevant_docs": data.qrels,
                "top_ranked": None,
            }
            self.dataset, self.data_loaded = {"default": {"test": split}}, True

    return Bodies()


def test_a_task_through_mteb_has_the_figures_of_eval() -> None:
    model = bge_fast.FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval="Find: ", devices="cpu")
    [result] = mteb.evaluate(MtebEncoder(model), [task(DATA)], cache=None).task_results
    [theirs] = result.scores["test"]
    ours = evaluate(model, DATA, k_values=[1, 3, 5, 10]).metrics
    assert 0.05 < ours["ndcg_at_10"] < 0.95
    names = [f"{name}_at_{k}" for name in ("ndcg", "map", "recall", "precision", "mrr") for k in (1, 3, 5, 10)]
    assert {name: theirs[name] for name in names} == pytest.approx({name: ours[name] for name in names}, abs=1e-5)
