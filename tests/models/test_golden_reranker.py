"""Scores of pairs against what FlagEmbedding's torch model gave for the same ids."""

import numpy as np
import pytest

from bge_fast import FlagReranker
from tests.parity import golden_reranker
from tests.support.checkpoints import SOURCES

GOLDEN = {name: golden_reranker.load(name) for name in golden_reranker.names()}
CALLS = [(name, call) for name, calls in GOLDEN.items() for call in calls]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("name", "call_name"), CALLS)
def test_every_score_is_within_1e_4(name, call_name, source):
    call = GOLDEN[name][call_name]
    model = FlagReranker(str(SOURCES[source](name)), devices="cpu", **call.options)
    scores = model.compute_score(call.pairs, **call.arguments)
    is_probability = "normalize" in {**call.options, **call.arguments}
    assert np.abs(np.array(scores) - call.scores).max() <= (3e-5 if is_probability else 1e-4)


@pytest.mark.parametrize("name", GOLDEN)
def test_enough_is_compared(name):
    pairs, scores = GOLDEN[name]["all"].pairs, GOLDEN[name]["all"].scores
    assert len(pairs) >= 300
    assert scores.min() < 0 < scores.max()
