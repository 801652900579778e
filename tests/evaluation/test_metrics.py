"""Figures against trec_eval itself, and against FlagEmbedding's two in their own words."""

import random
from itertools import product

import pytest

from bge_fast.evaluation import metrics, per_query

pytrec_eval = pytest.importorskip("pytrec_eval")

K = (1, 3, 5, 10, 100)
TREC = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}


def random_case(seed: int) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Judgements with negative grades and of queries that were not run; scores with ties, also in float32 alone."""
    source = random.Random(seed)
    documents = [f"d{number}" for number in range(source.randint(1, 160))] + ["Ünïcode", "文档", "d01", "D1"]
    queries = [f"q{number}" for number in range(source.randint(1, 8))]

    def grades() -> dict[str, int]:
        judged = source.sample(documents, source.randint(1, min(20, len(documents))))
        return {document: source.choice([-1, 0, 0, 1, 1, 2, 3]) for document in judged}

    def scores() -> dict[str, float]:
        found = source.sample(documents, source.randint(1, len(documents)))
        return {document: source.choice([0.5, 1.0, 1 + 1e-9, -2.0, source.random()]) for document in found}

    return {query: grades() for query in [*queries, "unrun"]}, {query: scores() for query in queries}


@pytest.mark.parametrize("seed", range(1000))
def test_each_query_is_as_trec_eval_has_it(seed: int) -> None:
    qrels, run = random_case(seed)
    wanted = {f"{name}.{','.join(map(str, K))}" for name in TREC.values()}
    expected = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
    found = per_query(qrels, run, K)
    assert found.keys() == expected.keys()
    for query, (ours, theirs), k in product(expected, TREC.items(), K):
        assert found[query][f"{ours}_at_{k}"] == pytest.approx(expected[query][f"{theirs}_{k}"], abs=1e-12), (
            query,
            ours,
            k,
        )


@pytest.mark.parametrize("seed", range(100))
def test_means_are_over_what_flagembedding_takes(seed: int) -> None:
    qrels, run = random_case(seed)
    found = metrics(qrels, run, K)
    for k in K:
        ranks, capped = 0.0, 0.0
        for query, scores in run.items():
            relevant = {key for key, grade in qrels[query].items() if grade > 0}
            best = [key for key, _ in sorted(scores.items(), key=lambda one: one[1], reverse=True)[:k]]
            ranks += next((1 / rank for rank, key in enumerate(best, 1) if key in relevant), 0)
            capped += sum(key in relevant for key in best) / max(min(len(relevant), k), 1)
        assert found[f"mrr_at_{k}"] == round(ranks / len(qrels), 5)
        assert found[f"recall_cap_at_{k}"] == round(capped / len(qrels), 5)
        mean = sum(one[f"ndcg_at_{k}"] for one in per_query(qrels, run, K).values()) / len(run)
        assert found[f"ndcg_at_{k}"] == round(mean, 5)


def test_names_come_in_flagembeddings_order() -> None:
    kinds = ("ndcg", "map", "recall", "precision", "mrr", "recall_cap")
    assert list(metrics({"q": {"d": 1}}, {"q": {"d": 1.0}}, (1, 10))) == [
        f"{one}_at_{k}" for one in kinds for k in (1, 10)
    ]


def test_a_query_without_judgement_counts_for_nothing() -> None:
    judged = metrics({"q": {"d": 1}}, {"q": {"d": 1.0}}, (1,))
    assert metrics({"q": {"d": 1}}, {"q": {"d": 1.0}, "unjudged": {"d": 1.0}}, (1,)) == judged


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no query of the run \('1'\) is among the judged ones \('q1'\)"):
        metrics({"q1": {"d": 1}}, {"1": {"d": 1.0}})
    with pytest.raises(ValueError, match="k_values"):
        metrics({"q": {"d": 1}}, {"q": {"d": 1.0}}, (0,))
