"""Decoders in every precision: near those of fp32, whatever a text's company and however many callers there are."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bge_fast import (
    FlagICLModel,
    FlagLLMModel,
    FlagLLMReranker,
    FlagModel,
    FlagReranker,
    LayerWiseFlagLLMReranker,
    LightWeightFlagLLMReranker,
    _core,
)
from tests.support.checkpoints import checkpoint

HAS_BF16 = _core.instructions()[2] is not None
FORMS = [
    "fp32",
    "int8",
    "int4",
    pytest.param("bf16", marks=pytest.mark.skipif(not HAS_BF16, reason="no bf16 here")),
]
EMBEDDERS = ("decoder-mistral", "decoder-qwen2", "decoder-qwen3", "decoder-gemma2")
RERANKERS = {
    "decoder-reranker-gemma": FlagLLMReranker,
    "decoder-reranker-llama": FlagLLMReranker,
    "decoder-layerwise": LayerWiseFlagLLMReranker,
    "decoder-lightweight": LightWeightFlagLLMReranker,
}
WORDS = "wing flow heat layer shock 机翼 Flügel données тело".split()
# Mean cosine to fp32 of tiny random weights; real ones are closer.
CLOSE = {"fp32": 1 - 1e-6, "bf16": 0.999, "int8": 0.998, "int4": 0.85}


def texts(count: int = 24) -> list[str]:
    random = np.random.default_rng(7)
    return [" ".join(random.choice(WORDS, int(random.integers(1, 60)))) for _ in range(count)]


def pairs() -> list[tuple[str, str]]:
    return [(query, passage) for query in texts(3) for passage in texts(7)]


def in_threads(call, items) -> np.ndarray:
    with ThreadPoolExecutor(64) as pool:
        return np.stack(list(pool.map(call, items)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EMBEDDERS)
def test_vectors_of_every_form_depend_on_their_text_alone(name, form):
    folder = str(checkpoint(name))
    model = FlagLLMModel(folder, precision=form)
    together = model.encode(texts())
    assert (together * FlagLLMModel(folder).encode(texts())).sum(axis=1).mean() >= CLOSE[form]
    assert np.abs(together - np.stack([model.encode(text) for text in texts()])).max() <= 1e-6
    assert np.abs(together - model.encode(texts(), batch_size=3)).max() <= 1e-6
    assert np.abs(together - in_threads(model.encode, texts())).max() <= 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RERANKERS)
def test_scores_of_every_form_depend_on_their_pair_alone(name, form):
    model = RERANKERS[name](str(checkpoint(name)), precision=form)
    together = np.array(model.compute_score(pairs()))
    alone = np.concatenate([model.compute_score([pair]) for pair in pairs()])
    size = max(1.0, float(np.abs(together).max()))
    assert np.abs(together - alone).max() <= 1e-6 * size
    threaded = in_threads(lambda pair: model.compute_score([pair])[0], pairs())
    assert np.abs(together - threaded).max() <= 1e-6 * size


@pytest.mark.parametrize("form", FORMS)
def test_examples_before_queries_in_every_form(form):
    examples = [{"instruct": "Find it", "query": " ".join(texts()[:2]), "response": "of a wing"}]
    model = FlagICLModel(str(checkpoint("decoder-mistral")), precision=form, examples_for_task=examples)
    together = model.encode_queries(texts())
    assert np.abs(together - in_threads(model.encode_queries, texts())).max() <= 1e-6
    # The same tokens as one text, with nothing computed beforehand.
    tokenizer, around = model.tokenizer, (model.prefix, model.suffix)
    whole = ["".join((around[0], text, around[1])) for text in texts()]
    same = [i for i, text in enumerate(whole) if tokenizer.encode(text) == ids_around(model, texts()[i], around)]
    assert len(same) >= len(whole) // 2
    assert np.abs(together[same] - model.encode([whole[i] for i in same], max_length=2048)).max() <= 1e-5


def ids_around(model: FlagICLModel, text: str, around: tuple[str, str]) -> list[int]:
    return model._opened.core.tokenizer.tokenize_around(text, around, 512)


@pytest.mark.parametrize("build", [FlagModel, FlagReranker])
def test_encoders_are_not_computed_in_4_bits(build):
    name = "tiny-bert" if build is FlagModel else "tiny-reranker"
    with pytest.raises(ValueError, match=r'precision="int4" is for decoder-only models.*"int8" or "bf16"'):
        build(str(checkpoint(name)), precision="int4")


def test_4_bits_are_told():
    model = FlagLLMModel(str(checkpoint("decoder-qwen3")), precision="int4")
    assert model.info()["precision"] == "int4"
    assert (
        model.info()["instructions"]
        == FlagLLMModel(str(checkpoint("decoder-qwen3")), precision="int8").info()["instructions"]
    )
