"""What programs do to FlagEmbedding's torch module and process pools is accepted, and changes nothing."""

import numpy as np
import pytest

from bge_fast import AbsEmbedder, BGEM3FlagModel, FlagModel, FlagReranker
from tests.support.checkpoints import checkpoint

TEXTS = ["boundary layer of wings", "wing", "heat transfer in flow"]
PAIRS = [("wing", text) for text in TEXTS]


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


@pytest.fixture(scope="module")
def reranker() -> FlagReranker:
    return FlagReranker(str(checkpoint("tiny-reranker-bert")))


@pytest.fixture(params=["bert", "m3", "reranker"])
def model(request: pytest.FixtureRequest) -> FlagModel | BGEM3FlagModel | FlagReranker:
    return request.getfixturevalue(request.param)


def test_moving_and_casting_gives_the_network_back(model):
    network = model.model
    assert network.to("cuda:0") is network.to(device="cpu", dtype=None) is network
    for verb in ("eval", "half", "bfloat16", "float", "cpu", "cuda"):
        assert getattr(network, verb)() is network
    assert network.cuda(0) is network
    assert model.target_devices == ["cpu"]


def test_the_device_is_a_string_with_the_parts_of_torchs(model):
    device = model.model.device
    assert (device, device.type, device.index) == ("cpu", "cpu", None)
    assert isinstance(device, str)


def test_a_cuda_device_has_a_number():
    device = type(FlagModel(str(checkpoint("tiny-bert"))).model.device)("cuda:1")
    assert (str(device), device.type, device.index) == ("cuda:1", "cuda", 1)


def test_how_many_labels_there_are_follows_from_their_names(bert, reranker):
    assert reranker.model.config.num_labels == len(reranker.model.config.id2label) == 1
    # As transformers has it where the file does not say.
    assert not hasattr(bert.model.config, "id2label")
    assert bert.model.config.num_labels == 2


def test_the_encoder_within_m3_has_them_too(m3):
    assert m3.model.model.device == "cpu"
    assert m3.model.model.half() is not m3.model
    assert m3.model.model.config.num_labels == 2


def test_a_pool_is_this_process(bert):
    pool = bert.start_multi_process_pool(AbsEmbedder._encode_multi_process_worker)
    assert pool["processes"] == []
    vectors = bert.encode_multi_process(TEXTS, pool, batch_size=2, max_length=8)
    bert.stop_multi_process_pool(pool)
    assert np.array_equal(vectors, bert.encode(TEXTS, batch_size=2, max_length=8))
    assert bert.pool is None


def test_a_pool_of_m3(m3):
    pool = m3.start_multi_process_pool()
    vectors = m3.encode_multi_process(TEXTS, pool, return_sparse=True)
    assert np.array_equal(vectors["dense_vecs"], m3.encode(TEXTS)["dense_vecs"])
    assert vectors["lexical_weights"] == m3.encode(TEXTS, return_sparse=True)["lexical_weights"]
    assert m3.compute_score_multi_process(PAIRS, pool) == m3.compute_score(PAIRS)
    BGEM3FlagModel.stop_multi_process_pool(pool)


def test_a_pool_of_a_reranker_gives_an_array_without_instructions():
    reranker = FlagReranker(str(checkpoint("tiny-reranker-bert")), query_instruction_for_rerank="find ")
    pool = reranker.start_multi_process_pool()
    scores = reranker.encode_multi_process(PAIRS, pool, normalize=True)
    assert (scores.dtype, scores.shape) == (np.float64, (3,))
    assert scores.tolist() == reranker.compute_score_single_gpu(PAIRS, normalize=True)
    assert scores.tolist() != reranker.compute_score(PAIRS, normalize=True)
    reranker.stop_multi_process_pool(pool)
