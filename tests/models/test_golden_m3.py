"""M3's vectors, lexical weights and scores against what FlagEmbedding 1.4.2 gave for the same checkpoints and texts."""

import pytest

from bge_fast import BGEM3FlagModel
from tests.parity import golden_m3
from tests.parity.bert_m3 import make_bert_m3
from tests.parity.differences import largest, of_scores, of_vectors, of_weights
from tests.support.checkpoints import SOURCES
from tests.support.malformed import pickled

GOLDEN = {name: golden_m3.load(name) for name in golden_m3.names()}
CASES = [(name, case) for name, recorded in GOLDEN.items() for case in recorded.cases]
SCORES = [(name, call) for name, recorded in GOLDEN.items() for call in recorded.scores]
ALL = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
ON_BERT = "tiny-m3-bert"


def from_sources(calls):
    return [(*call, source) for call in calls for source in SOURCES if source == "checkpoint" or call[0] != ON_BERT]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The folder of a model; the one on BERT is made here and has no export."""
    made = make_bert_m3(tmp_path_factory.mktemp("made") / ON_BERT, pickled)
    return lambda name, source: made if name == ON_BERT else SOURCES[source](name)


@pytest.mark.parametrize(("name", "case_name", "source"), from_sources(CASES))
def test_every_number_is_within_1e_5(folder_of, name, case_name, source):
    case = GOLDEN[name].cases[case_name]
    model = BGEM3FlagModel(str(folder_of(name, source)), use_fp16=False, devices="cpu", **ALL, **case.options)
    results = getattr(model, case.call)(case.texts, **case.arguments)
    colbert = [results["colbert_vecs"][row] for row in case.with_colbert]
    assert case.with_colbert
    assert largest(of_vectors(results["dense_vecs"], case.dense)) <= 1e-5
    assert max(map(of_weights, results["lexical_weights"], case.lexical)) <= 1e-5
    assert max(largest(of_vectors(*both)) for both in zip(colbert, case.colbert, strict=True)) <= 1e-5


@pytest.mark.parametrize(("name", "call_name", "source"), from_sources(SCORES))
def test_scores_of_pairs_are_within_1e_5(folder_of, name, call_name, source):
    call = GOLDEN[name].scores[call_name]
    model = BGEM3FlagModel(str(folder_of(name, source)), use_fp16=False, devices="cpu", **call.options)
    scores = model.compute_score(call.pairs, **call.arguments)
    assert list(scores) == list(call.scores)
    for mode, expected in call.scores.items():
        assert largest(of_scores(scores[mode], expected)) <= 1e-5, mode


@pytest.mark.parametrize("name", GOLDEN)
def test_enough_is_compared(name):
    recorded = GOLDEN[name]
    assert len(recorded.cases["all"].texts) >= 300
    assert len(recorded.scores["all"].pairs) >= 300
    assert max(len(rows) for rows in recorded.cases["all"].colbert) == 511
    assert sum(len(weights) for weights in recorded.cases["all"].lexical) > 2000
