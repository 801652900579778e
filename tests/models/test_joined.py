"""Callers that wait share batches: each gets its own rows, its own errors, and no more patience than it has."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, CallTimeoutError, FlagModel, FlagReranker, NumericsError, QueueFullError
from tests.support.checkpoints import SOURCES, checkpoint
from tests.support.malformed import WORDS, Tensors, change_tensors

WORDS_OF_TEXTS = "wing flow heat layer shock 机翼 Flügel данные тело".split()
CALLERS, CALLS = 64, 8


def some_text(number: int) -> str:
    random = np.random.default_rng(number)
    return " ".join(random.choice(WORDS_OF_TEXTS, int(random.integers(1, 30))))


TEXTS = [some_text(number) for number in range(CALLERS * CALLS)]


def by_many(call: Callable[[int], Any], count: int = CALLERS * CALLS) -> list[Any]:
    """What ``call`` gives for every number, of as many callers at once as there are threads."""
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(call, range(count)))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("options", [{}, {"pooling_method": "mean"}, {"low_memory": True}])
def test_each_of_64_callers_has_its_own_rows(source, options):
    model = FlagModel(str(SOURCES[source]("tiny-bert")), **options)
    serial = model.encode(TEXTS, batch_size=1)
    found = by_many(lambda number: model.encode(TEXTS[number]))
    assert np.abs(np.array(found) - serial).max() <= 1e-6


def test_calls_of_several_texts_and_lengths_and_options():
    model = FlagModel(str(checkpoint("tiny-xlmr")))

    def call(number: int) -> np.ndarray:
        texts = TEXTS[number : number + number % 4 + 1]
        return model.encode(texts, max_length=(4, 16, 512)[number % 3], batch_size=(1, 256)[number % 2])

    serial = [call(number) for number in range(CALLERS * CALLS)]
    found = by_many(call)
    assert max(np.abs(one - other).max() for one, other in zip(serial, found, strict=True)) <= 1e-6


def test_outputs_of_m3_and_pairs():
    m3, reranker = BGEM3FlagModel(str(checkpoint("tiny-m3"))), FlagReranker(str(checkpoint("tiny-reranker")))
    asked = [{}, {"return_sparse": True}, {"return_sparse": True, "return_colbert_vecs": True}]

    def call(number: int) -> dict[str, Any]:
        return m3.encode(TEXTS[number], **asked[number % 3])

    serial = [call(number) for number in range(CALLERS)]
    for one, other in zip(serial, by_many(call, CALLERS), strict=True):
        assert one.keys() == other.keys()
        assert np.abs(one["dense_vecs"] - other["dense_vecs"]).max() <= 1e-6
        if one["lexical_weights"] is not None:
            assert one["lexical_weights"] == pytest.approx(other["lexical_weights"], abs=1e-5)
        if one["colbert_vecs"] is not None:
            assert np.abs(one["colbert_vecs"] - other["colbert_vecs"]).max() <= 1e-6
    pairs = [(TEXTS[number], TEXTS[-number]) for number in range(CALLERS)]
    scores = [reranker.compute_score([pair])[0] for pair in pairs]
    assert by_many(lambda number: reranker.compute_score([pairs[number]])[0], CALLERS) == pytest.approx(
        scores, rel=1e-5
    )


def test_callers_share_batches_unless_told_not_to():
    model = FlagModel(str(checkpoint("tiny-bert")))
    apart = FlagModel(str(checkpoint("tiny-bert")), deterministic=True)
    assert batches_of(model) < CALLERS * CALLS <= batches_of(apart)


def batches_of(model: FlagModel) -> int:
    """How many batches the calls of many callers take."""
    core = model._open().core
    before = core.batches_run
    by_many(lambda number: model.encode(TEXTS[number]))
    return core.batches_run - before


def test_an_error_of_one_is_not_the_others(own_checkpoint):
    row = FlagModel(str(own_checkpoint)).tokenizer("shock")["input_ids"][1]

    def poison(tensors: Tensors) -> None:
        tensors[WORDS] = tensors[WORDS].copy()
        tensors[WORDS][row] = np.nan

    change_tensors(own_checkpoint, poison)
    healthy, model = FlagModel(str(checkpoint("tiny-bert"))), FlagModel(str(own_checkpoint))
    texts = [f"wing heat flow {'shock' if number % 16 == 5 else 'layer'}" for number in range(CALLERS * CALLS)]

    def call(number: int) -> np.ndarray | str:
        try:
            return model.encode([texts[number]])[0]
        except NumericsError as error:
            return str(error)

    right = healthy.encode("wing heat flow layer")
    for text, found in zip(texts, by_many(call), strict=True):
        if "shock" in text:
            assert isinstance(found, str)
            assert "texts[0]" in found
        else:
            assert np.abs(found - right).max() <= 1e-6


def test_bulk_work_and_queries_at_once_with_more_threads_than_cores():
    model = FlagModel(str(checkpoint("tiny-bert")), threads=16)
    bulk = [f"{text} {number}" for number, text in enumerate(TEXTS * 20)]
    serial, single = FlagModel(str(checkpoint("tiny-bert")), threads=1).encode(bulk), model.encode(TEXTS[0])
    with ThreadPoolExecutor(12) as pool:
        bulks = [pool.submit(model.encode, bulk) for _ in range(3)]
        queries = [pool.submit(model.encode, TEXTS[0]) for _ in range(200)]
        assert max(np.abs(done.result() - single).max() for done in queries) <= 1e-6
        assert max(np.abs(done.result() - serial).max() for done in bulks) <= 1e-6


def test_a_call_without_an_answer_in_time():
    model = FlagModel(str(checkpoint("tiny-bert")), timeout=0.05)
    texts = [f"{number} boundary layer " * 400 for number in range(20_000)]
    began = time.monotonic()
    with pytest.raises(CallTimeoutError, match=r"timeout=0\.05 seconds") as caught:
        model.encode(texts)
    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - began < 5
    assert model.encode("wing").shape == (32,)


def test_a_queue_that_is_full():
    model = FlagModel(str(checkpoint("tiny-bert")), max_queue=0, threads=1)

    def call(number: int) -> np.ndarray | str:
        try:
            return model.encode(TEXTS[number] + " flow" * 400)
        except QueueFullError as error:
            return str(error)

    refused = [one for one in by_many(call) if isinstance(one, str)]
    assert 0 < len(refused) < CALLERS * CALLS
    assert all("max_queue=0" in message for message in refused)
    assert FlagModel(str(checkpoint("tiny-bert")), max_queue=1000).encode(TEXTS[0]).shape == (32,)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("timeout", 0, ValueError),
        ("timeout", "1", TypeError),
        ("timeout", float("nan"), ValueError),
        ("max_queue", -1, ValueError),
        ("max_queue", 1.5, TypeError),
        ("deterministic", np.ones(2), TypeError),
    ],
)
def test_options_that_are_none(option, value, error):
    with pytest.raises(error, match=option):
        FlagModel(str(checkpoint("tiny-bert")), **{option: value})


def test_ctrl_c_of_one_who_waits_leaves_the_others_theirs(tiny_bert: Path):
    code = f"""
import os, signal, threading, time
from concurrent.futures import ThreadPoolExecutor
from bge_fast import FlagModel
model = FlagModel({str(tiny_bert)!r}, threads=1)
text = "boundary layer flow " * 170
alone = model.encode(text)
ended = threading.Event()
def work():
    same = True
    while not ended.is_set():
        same = same and bool(abs(model.encode(text) - alone).max() <= 1e-6)
    return same
pool = ThreadPoolExecutor(8)
others = [pool.submit(work) for _ in range(8)]
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        model.encode(text)
except KeyboardInterrupt:
    ended.set()
print(all(other.result() for other in others), bool(abs(model.encode(text) - alone).max() <= 1e-6))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_where_the_time_went_is_counted():
    model = FlagModel(str(checkpoint("tiny-bert")))
    core = model._open().core
    before = core.seconds
    by_many(lambda number: model.encode(TEXTS[number]))
    assert all(after > earlier for after, earlier in zip(core.seconds, before, strict=True))
