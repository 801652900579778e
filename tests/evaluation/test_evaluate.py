"""Whole evaluations against what FlagEmbedding's runner found, and files that are taken up again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from bge_fast.evaluation import Dataset, Report, evaluate, retrieval
from bge_fast.evaluation import tree as trees
from tests.support.checkpoints import ROOT, SHARED, checkpoint

CRANFIELD = SHARED / "cranfield"
GOLDEN = ROOT / "tests" / "data" / "golden" / "evaluation"
RETRIEVAL = "Represent this sentence for searching relevant passages: "


def cranfield(first: int | None = None, *, titles_alone: bool = False) -> Dataset:
    if not (CRANFIELD / "qrels.tsv").is_file():
        pytest.skip("the Cranfield collection is not on this machine")
    data = Dataset.read(CRANFIELD)
    corpus = dict(list(data.corpus.items())[:first])
    if titles_alone:  # of equal ones the first
        rows = list(map(json.loads, (CRANFIELD / "corpus.jsonl").read_text().splitlines()))[:first]
        firsts = {row["title"].strip(): row["_id"] for row in reversed(rows)}
        corpus = {row["_id"]: row["title"].strip() for row in rows if row["_id"] in firsts.values()}
    kept = {query: {key: grade for key, grade in one.items() if key in corpus} for query, one in data.qrels.items()}
    qrels = {query: grades for query, grades in kept.items() if grades}
    return Dataset(corpus, {query: text for query, text in data.queries.items() if query in qrels}, qrels)


def check(report: Report, expected: dict[str, Any]) -> None:
    """Equal figures, and documents that have the scores of FlagEmbedding's first ones."""
    assert report.metrics == pytest.approx(expected["figures"], abs=1.01e-5)
    assert list(report.metrics) == list(expected["figures"])
    assert report.run.keys() == expected["best"].keys()
    for query, best in expected["best"].items():
        ours, last = report.run[query], min(best.values())
        for document in best:
            assert ours.get(document, last) == pytest.approx(best[document], abs=2e-5), (query, document)


@pytest.mark.parametrize(
    ("name", "titles_alone"),
    [
        ("tiny-bert", True),
        ("tiny-xlmr", False),
        pytest.param("bge-small-en-v1.5", False, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_all_of_cranfield_is_as_flagembeddings_runner_has_it(name: str, titles_alone: bool) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    data = cranfield(titles_alone=titles_alone)
    model = FlagModel(str(checkpoint(name)), query_instruction_for_retrieval=RETRIEVAL, devices="cpu")
    reranker = FlagReranker(str(checkpoint("tiny-reranker-bert")), devices="cpu") if titles_alone else None
    report = evaluate(model, data, reranker=reranker)
    if report.retrieved:
        check(report, golden["rankings"]["tiny-reranker-bert"])
    check(report.retrieved or report, golden["rankings"]["NoReranker"])
    reports = [one for one in (report.retrieved, report) if one]
    figures = {name: {one.results.names.reranker_name: {"test": one.metrics} for one in reports}}
    assert trees.table(figures, ["ndcg_at_10", "recall_at_10"]) == golden["table"]


@pytest.mark.parametrize("mode", retrieval.MODES)
def test_scores_of_m3_are_those_of_pairs(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_DOCUMENTS", 7)
    data = cranfield(40, titles_alone=True)
    data = Dataset(data.corpus, dict(list(data.queries.items())[:5]), data.qrels)
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")), devices="cpu")
    report = evaluate(model, data, mode=mode, weights=(0.5, 1, 2), rerank_top_k=40, top_k=40)
    for query, text in data.queries.items():
        pairs = [(text, passage) for passage in data.corpus.values()]
        scores = model.compute_score(pairs, weights_for_different_modes=[0.5, 1, 2])[mode]  # type: ignore[literal-required]
        expected = {key: score for key, score in zip(data.corpus, scores, strict=True) if mode != "sparse" or score > 0}
        assert report.run[query] == pytest.approx(expected, abs=1e-5)
        assert list(report.run[query].values()) == sorted(report.run[query].values(), reverse=True)


def test_other_models_have_dense_vectors_alone(bert: FlagModel) -> None:
    data = Dataset({"d": "text"}, {"q": "text"}, {"q": {"d": 1}})
    with pytest.raises(ValueError, match="needs a BGE-M3; FlagModel has dense"):
        evaluate(bert, data, mode="sparse")
    with pytest.raises(ValueError, match="none of dense, sparse"):
        evaluate(bert, data, mode="both")


def test_files_are_taken_up_again_unless_overwritten(bert: FlagModel, tmp_path: Path) -> None:
    data = Dataset({"a": "lift", "b": "drag", "c": "heat"}, {"q": "lift", "r": "heat"}, {"q": {"a": 1}, "r": {"c": 1}})
    first = evaluate(bert, data, output_dir=tmp_path)
    file = tmp_path / "tiny-bert" / "NoReranker" / "test.json"
    stored = json.loads(file.read_text())
    assert stored == {
        "eval_name": "custom",
        "model_name": "tiny-bert",
        "reranker_name": "NoReranker",
        "split": "test",
        "dataset_name": None,
        "search_results": first.run,
    }
    stored["search_results"] = {"q": {"b": 1.0}, "r": {"b": 1.0}}
    file.write_text(json.dumps(stored))
    assert evaluate(bert, data, output_dir=tmp_path).metrics["ndcg_at_10"] == 0
    assert evaluate(bert, data, output_dir=tmp_path, overwrite=True) == first
    with pytest.raises(ValueError, match="has eval_name 'custom', not 'other'"):
        evaluate(bert, data, output_dir=tmp_path, eval_name="other")
    figures = json.loads((tmp_path / "tiny-bert" / "NoReranker" / "EVAL" / "eval_results.json").read_text())
    assert figures == {"test": first.metrics}


def test_vectors_are_those_of_these_documents(bert: FlagModel, tmp_path: Path) -> None:
    data = Dataset({"a": "lift", "b": "drag"}, {"q": "lift"}, {"q": {"a": 1}})
    other = Dataset({"a": "drag", "b": "lift"}, data.queries, data.qrels)
    for one in (data, other, data):
        assert evaluate(bert, one, vectors=tmp_path / "doc.npy").run == evaluate(bert, one).run
        np.testing.assert_array_equal(np.load(tmp_path / "doc.npy"), bert.encode_corpus(list(one.corpus.values())))


def test_documents_with_the_querys_id_are_left_out(bert: FlagModel) -> None:
    data = Dataset({"q": "lift", "b": "drag"}, {"q": "lift"}, {"q": {"b": 1}})
    assert list(evaluate(bert, data, ignore_identical_ids=True).run["q"]) == ["b"]


def test_the_table_marks_the_best_and_what_is_missing() -> None:
    figures = {
        "one": {"NoReranker": {"a-test": {"m": 0.5}, "b-test": {"m": 0.25}}},
        "two": {"NoReranker": {"a-test": {"m": 0.75}}},
    }
    assert trees.table(figures, ["m"]).splitlines()[2:] == [
        "| Model | Reranker | average | a-test | b-test |",
        "| :---- | :---- | :---: | :---: | :---: |",
        "| one | NoReranker | **37.500** | 50.000 | **25.000** | ",
        "| two | NoReranker | - | **75.000** | - | ",
        "",
    ]
