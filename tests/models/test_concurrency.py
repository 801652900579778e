"""Threads, processes, signals: one model, many callers, always the serial numbers."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel, _core
from bge_fast.errors import InternalError
from bge_fast.opening.engine import Engine, EngineOptions
from tests.support.checkpoints import SOURCES

THREADS, CALLS = 32, 50
WORDS = "wing flow heat layer shock 机翼 Flügel données тело".split()


@pytest.fixture(scope="module", params=SOURCES)
def source(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def tiny_bert(source) -> Path:
    return SOURCES[source]("tiny-bert")


@pytest.fixture(scope="module")
def bert(tiny_bert) -> FlagModel:
    return FlagModel(str(tiny_bert))


def some_texts(seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, int(random.integers(1, 40)))) for _ in range(int(random.integers(1, 4)))]


@pytest.mark.parametrize(
    ("name", "source"),
    [("tiny-bert", "checkpoint"), ("tiny-xlmr", "checkpoint"), ("tiny-bert", "model folder")],
)
def test_32_threads_times_50_calls_with_mixed_texts_and_lengths_give_the_serial_numbers(name, source):
    model = FlagModel(str(SOURCES[source](name)))
    calls = [(some_texts(seed), (4, 8, 16, 64, 512)[seed % 5]) for seed in range(THREADS * CALLS)]
    serial = [model.encode(texts, max_length=length) for texts, length in calls]

    def work(thread: int) -> float:
        mine = range(thread * CALLS, (thread + 1) * CALLS)
        return max(np.abs(model.encode(calls[i][0], max_length=calls[i][1]) - serial[i]).max() for i in mine)

    with ThreadPoolExecutor(THREADS) as pool:
        assert max(pool.map(work, range(THREADS))) <= 1e-6


def test_bulk_and_single_calls_at_once(bert):
    texts = [text for seed in range(400) for text in some_texts(seed)]
    bulk, single = bert.encode(texts), bert.encode(texts[0])
    with ThreadPoolExecutor(6) as pool:
        bulks = [pool.submit(bert.encode, texts) for _ in range(3)]
        singles = [pool.submit(bert.encode, texts[0]) for _ in range(60)]
        assert max(np.abs(done.result() - bulk).max() for done in bulks) <= 1e-6
        assert max(np.abs(done.result() - single).max() for done in singles) <= 1e-6


def test_other_python_threads_run_while_texts_are_encoded(bert):
    ticks = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.002):
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    bert.encode([f"{number} boundary layer " * 100 for number in range(300)])
    end = time.perf_counter()
    ended.set()
    ticker.join()
    assert sum(start < at < end for at in ticks) >= 3


def test_closing_while_others_encode(tiny_bert):
    model = FlagModel(str(tiny_bert))
    texts = [f"{number} boundary layer " * 60 for number in range(500)]
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(model.encode, texts) for _ in range(2)]
        time.sleep(0.05)
        model.close()
        for done in running:
            assert done.exception() is None or "closed" in str(done.exception())


def test_a_signal_handler_may_close_a_model_that_its_thread_is_opening(tiny_bert, monkeypatch):
    model = pickle.loads(pickle.dumps(FlagModel(str(tiny_bert))))

    def closing(options: EngineOptions) -> Engine:
        engine = Engine(options)
        model.close()
        return engine

    monkeypatch.setattr("bge_fast.models.model.Engine", closing)
    with pytest.raises(ValueError, match="was closed"):
        model.encode("text")
    assert model._opened is None


def encode_elsewhere(model: FlagModel) -> np.ndarray:
    return model.encode(["text", "another"])


def test_a_model_travels_to_spawned_processes(bert):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(encode_elsewhere, (bert,)), bert.encode(["text", "another"]))


def test_ctrl_c_stops_a_long_call_and_the_model_stays_usable(tiny_bert):
    code = f"""
import contextlib, os, signal, threading, time
from bge_fast import FlagModel, _core
from bge_fast.models import dense_embedder
model = FlagModel({str(tiny_bert)!r})
before = model.encode("text")
progress = _core.Progress()
dense_embedder.progress_bar = lambda *_: contextlib.nullcontext(progress)
def interrupt_when_some_are_done():
    while not progress.done:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
texts = [f"{{number}} boundary layer " * 400 for number in range(20000)]
threading.Thread(target=interrupt_when_some_are_done, daemon=True).start()
try:
    model.encode(texts)
except KeyboardInterrupt:
    done = progress.done
    dense_embedder.progress_bar = lambda *_: contextlib.nullcontext(_core.Progress())
    print(done, (model.encode("text") == before).all())
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    done, usable = ended.stdout.split()
    assert 0 < int(done) < 20000
    assert usable == "True"


def test_a_panic_is_an_ordinary_exception(capfd):
    with pytest.raises(InternalError, match="on purpose.*report"):
        _core.panic_on_purpose()
    capfd.readouterr()


@pytest.mark.slow
def test_memory_is_flat_over_many_calls_of_varying_length(bert):
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    random = np.random.default_rng(7)

    def some_calls(count: int) -> None:
        for _ in range(count):
            bert.encode(["wing " * int(length) for length in random.integers(1, 400, 3)])

    some_calls(100)
    before = resident()
    some_calls(400)
    assert resident() - before <= 8 << 20


def test_a_model_that_was_replaced_on_disk_is_never_mixed_with_the_new_one(own_folder):
    """Bulk work opens a second session, maybe long after the first."""
    model = FlagModel(str(own_folder))
    texts = [f"{number} boundary layer flow " * 100 for number in range(60)]
    before = FlagModel(str(own_folder)).encode(texts)
    graph = own_folder / "onnx" / "model.onnx"
    other = own_folder / "onnx" / "other.onnx"
    other.write_bytes(graph.read_bytes().replace(b"last_hidden_state", b"lost_hidden_state"))
    other.replace(graph)
    assert np.abs(model.encode(texts) - before).max() <= 1e-6
    graph.unlink()
    assert np.abs(model.encode(texts) - before).max() <= 1e-6
