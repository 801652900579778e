"""What a model tells about itself: what it did, how many tokens texts have; and what it does ahead of first calls."""

import threading
import time

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagLLMModel, FlagModel, FlagReranker, KnownRow, list_models
from bge_fast.known import EMBEDDERS, RERANKERS
from tests.support.checkpoints import checkpoint

KINDS = [
    (FlagModel, "tiny-bert"),
    (FlagLLMModel, "decoder-qwen3"),
    (BGEM3FlagModel, "tiny-m3"),
    (FlagReranker, "tiny-reranker-bert"),
]
# Their tiny checkpoints take 512 tokens at most.
pytestmark = pytest.mark.filterwarnings("ignore:.*_max_length=.* is lowered")


def test_counts_of_an_embedder(tiny_bert):
    model = FlagModel(str(tiny_bert))
    assert {value for name, value in model.stats().items() if name != "padding_share"} == {0}
    model.encode(["one two", "one two", "three " * 100], max_length=16)
    model.encode_queries("four")
    stats = model.stats()
    counts = model.count_tokens(["one two", "four"])
    assert (stats["calls"], stats["texts"]) == (2, 4)
    assert stats["tokens"] == sum(counts) + 16
    assert stats["truncated"] == 1
    assert 0 < stats["batches"] <= 3
    assert (stats["redone_in_fp32"], stats["out_of_memory"], stats["waiting"]) == (0, 0, 0)
    assert stats["padding_share"] == 0, "checkpoints are packed on the CPU"
    assert min(stats["seconds_tokenizing"], stats["seconds_running"]) > 0


def test_padding_is_counted_where_there_is_any(tiny_bert):
    model = FlagModel(str(tiny_bert), low_memory=True)
    model.encode(["one", "one two three four five six seven eight nine ten"] * 2, batch_size=8)
    ids = model.count_tokens(["one", "one two three four five six seven eight nine ten"])
    stats = model.stats()
    assert stats["tokens"] == sum(ids)
    assert stats["padding_share"] in (0, pytest.approx((max(ids) - min(ids)) / (2 * max(ids))))


def test_calls_that_wait_are_counted(tiny_bert):
    model = FlagModel(str(tiny_bert))
    texts = [f"{number} boundary layer flow " * 60 for number in range(600)]
    threads = [threading.Thread(target=model.encode, args=[texts]) for _ in range(6)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        seen = max(seen, model.stats()["waiting"])
        time.sleep(0.005)
    assert seen > 0
    assert model.stats()["waiting"] == 0


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_every_model_counts_tokens_and_warms_up(kind, name):
    model = kind(str(checkpoint(name)))
    assert model.count_tokens(["heat", "heat " * 600])[1] > 512
    model.warmup()
    model.warmup(lengths=np.array([8, 64]))
    stats = model.stats()
    assert stats["calls"] >= 3
    assert stats["tokens"] >= 64
    with pytest.raises(ValueError, match="lengths must be at most"):
        model.warmup(lengths=[10**9])


def test_a_closed_model_tells_nothing(tiny_bert):
    model = FlagModel(str(tiny_bert))
    model.close()
    for ask in (model.stats, model.warmup, lambda: model.count_tokens(["text"])):
        with pytest.raises(ValueError, match="was closed"):
            ask()


def test_the_known_models_are_listed():
    rows = list_models()
    by_name = {row.name: row for row in rows}
    assert len(by_name) == len(rows)
    assert by_name.keys() >= EMBEDDERS.keys() | RERANKERS.keys()
    assert by_name["bge-small-zh-v1.5"] == KnownRow("bge-small-zh-v1.5", "embedder", "FlagModel", "cls", 512, 512)
    assert by_name["bge-m3"] == KnownRow("bge-m3", "m3", "BGEM3FlagModel", "cls", 1024, 8192)
    reranker = KnownRow("bge-reranker-v2-m3", "reranker", "FlagReranker", None, None, 8192)
    assert by_name["bge-reranker-v2-m3"] == reranker
    assert all(row.dimension for row in rows if row.kind != "reranker"), "a row has no dimension"
    assert all(np.log2(row.max_length) % 1 == 0 for row in rows)
