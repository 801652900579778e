"""Weights from examples: the contrastive loss of LM_Cocktail, computed with our vectors."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel, mix_models, mix_models_with_data
from bge_fast.errors import UnsupportedModelError
from bge_fast.merging.losses import weights_by_data, weights_of
from tests.fixtures.sentences import read_sentences
from tests.support.checkpoints import checkpoint
from tests.support.malformed import WEIGHTS, change_tensors, read_safetensors

SENTENCES = [one.text for one in read_sentences()]
EXAMPLES = [
    {"query": SENTENCES[place], "pos": [SENTENCES[place + 1], "never"], "neg": SENTENCES[place + 2 : place + 12]}
    for place in range(0, 60, 12)
]


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    other = shutil.copytree(checkpoint("tiny-bert"), tmp_path / "other")
    change_tensors(other, lambda one: one.update({key: np.roll(value, 5) for key, value in one.items()}))
    return [str(checkpoint("tiny-bert")), str(other)]


def loss(folder: str, seed: int, size: int, negatives: int) -> float:
    """Query by query, in float64."""
    draw = random.Random(seed)
    groups = [(one["query"], one["pos"][0], draw.sample(one["neg"], negatives)) for one in EXAMPLES]
    model, losses = FlagModel(folder), []
    for first in range(0, len(groups), size):
        batch = groups[first : first + size]
        passages = model.encode([text for _, own, others in batch for text in (own, *others)]).astype(np.float64)
        each = []
        for place, (query, _, _) in enumerate(batch):
            raised = np.exp(passages @ model.encode(query).astype(np.float64) / 0.05)
            each.append(-np.log(raised[place * (negatives + 1)] / raised.sum()))
        losses.append(np.mean(each))
    return float(np.mean(losses))


@pytest.mark.parametrize(("seed", "size", "negatives"), [(0, 2, 7), (3, 4, 2), (0, 64, 7)])
def test_weights_follow_from_the_losses(models, seed, size, negatives):
    losses = np.array([loss(model, seed, size, negatives) for model in models])
    wanted = np.exp(-losses / 5) / np.exp(-losses / 5).sum()
    found = weights_by_data(models, EXAMPLES, batch_size=size, negatives=negatives, seed=seed)
    assert np.allclose(found, wanted, atol=1e-5)
    assert abs(found[0] - found[1]) > 1e-3
    assert sum(found) == pytest.approx(1, abs=1e-6)


def test_the_mixture_is_made_with_them(models, tmp_path):
    made = mix_models_with_data(models, "encoder", EXAMPLES, output_path=tmp_path / "out")
    wanted = mix_models(models, weights=weights_by_data(models, EXAMPLES), output_path=tmp_path / "wanted")
    found = read_safetensors(Path(made) / WEIGHTS)
    assert all(np.array_equal(found[key], one) for key, one in read_safetensors(Path(wanted) / WEIGHTS).items())
    mix_models_with_data(models, example_ata=EXAMPLES, output_path=tmp_path / "their-name")


def test_decoders_have_vectors_too():
    assert weights_by_data([str(checkpoint("decoder-qwen3"))] * 2, EXAMPLES) == [0.5, 0.5]


def test_large_losses_are_numbers():
    assert weights_of([1e6, 1e6, 2e6], 1) == [0.5, 0.5, 0]
    with pytest.raises(ValueError, match="temperature is 0"):
        weights_of([1, 2], 0)


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([], "no examples"),
        ([EXAMPLES[0], {"query": "x", "neg": ["y"] * 9}], "example 1"),
        ([{"query": "x", "pos": [3], "neg": ["y"] * 9}], "example 0"),
        ([{"query": "x", "pos": ["z"], "neg": ["y"] * 2}], "example 0 has 2 negatives, and 7 are drawn"),
    ],
)
def test_examples_that_lack_something(models, examples, said):
    with pytest.raises(ValueError, match=said):
        weights_by_data(models, examples)


def test_rerankers_are_refused():
    with pytest.raises(UnsupportedModelError, match="tiny-reranker is a reranker"):
        weights_by_data([str(checkpoint("tiny-reranker"))], EXAMPLES)
