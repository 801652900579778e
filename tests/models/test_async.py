"""Verbs that an event loop awaits: the numbers of the plain verbs, a loop that goes on, and calls that end when they are cancelled."""

import asyncio
import io
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from bge_fast import (
    BGEM3FlagModel,
    FlagICLModel,
    FlagLLMModel,
    FlagLLMReranker,
    FlagModel,
    FlagReranker,
    LayerWiseFlagLLMReranker,
    LightWeightFlagLLMReranker,
)
from bge_fast.errors import InternalError
from bge_fast.models import progress
from bge_fast.runtime import background
from bge_fast.runtime.background import Background
from tests.models.test_fork import in_fork
from tests.support.checkpoints import checkpoint

TEXTS = ["boundary layer", "heat", "", "a wing in supersonic flow " * 9]
PAIRS = [("heat", "heat transfer"), ("wing", "a wing"), ("wing", "")]
EMBEDDERS = [(FlagModel, "tiny-bert"), (FlagLLMModel, "decoder-qwen3"), (FlagICLModel, "decoder-mistral")]
RERANKERS = [
    (FlagReranker, "tiny-reranker-bert"),
    (FlagLLMReranker, "decoder-reranker-gemma"),
    (LayerWiseFlagLLMReranker, "decoder-layerwise"),
    (LightWeightFlagLLMReranker, "decoder-lightweight"),
]
# Many seconds of work.
LONG = [f"{number} boundary layer flow " * 60 for number in range(20_000)]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Background[Any]]:
    """The calls that a test begins."""
    begun: list[Background[Any]] = []

    class Seen(Background[Any]):
        def __init__(self, work: Any) -> None:
            super().__init__(work)
            begun.append(self)

    monkeypatch.setattr(background, "Background", Seen)
    return begun


def end_of(call: Background[Any]) -> float:
    """Seconds until a call that was stopped has ended."""
    began = time.monotonic()
    assert isinstance(call.future.exception(60), InternalError)
    return time.monotonic() - began


async def until_running(calls: list[Background[Any]], count: int = 1) -> None:
    while sum(bool(call._parts) for call in calls) < count:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.1)


@pytest.mark.parametrize(("kind", "name"), EMBEDDERS)
def test_embedders_give_the_numbers_of_the_plain_verbs(kind, name):
    model = kind(str(checkpoint(name)), query_instruction_for_retrieval="query: ")

    async def results() -> list[Any]:
        return [
            await model.aencode("heat"),
            await model.aencode(iter(TEXTS), 2, max_length=12),
            await model.aencode_queries(TEXTS),
            await model.aencode_corpus(TEXTS, max_length=8),
        ]

    plain = [
        model.encode("heat"),
        model.encode(TEXTS, 2, 12),
        model.encode_queries(TEXTS),
        model.encode_corpus(TEXTS, max_length=8),
    ]
    assert all(map(np.array_equal, asyncio.run(results()), plain))


@pytest.mark.parametrize(("kind", "name"), RERANKERS)
@pytest.mark.filterwarnings("ignore")
def test_rerankers_give_the_numbers_of_the_plain_verbs(kind, name):
    model = kind(str(checkpoint(name)))
    passages = [passage for _, passage in PAIRS]

    async def results() -> list[Any]:
        return [await model.acompute_score(PAIRS, normalize=True), await model.arank("heat", passages, 2)]

    assert asyncio.run(results()) == [model.compute_score(PAIRS, normalize=True), model.rank("heat", passages, 2)]


def test_m3_gives_what_the_plain_verbs_give():
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")), return_sparse=True, passage_max_length=64, query_max_length=64)

    async def results() -> list[Any]:
        vectors = await model.aencode_vectors(TEXTS, colbert=True)
        return [
            (await model.aencode(TEXTS))["lexical_weights"],
            (await model.aencode_queries("heat"))["lexical_weights"],
            (await model.aencode_corpus(TEXTS, return_dense=False))["lexical_weights"],
            vectors.sparse,
            vectors.colbert,
            await model.acompute_score(PAIRS),
        ]

    vectors = model.encode_vectors(TEXTS, colbert=True)
    assert asyncio.run(results()) == [
        model.encode(TEXTS)["lexical_weights"],
        model.encode_queries("heat")["lexical_weights"],
        model.encode_corpus(TEXTS, return_dense=False)["lexical_weights"],
        vectors.sparse,
        vectors.colbert,
        model.compute_score(PAIRS),
    ]


def test_errors_come_out_where_the_call_is_awaited(bert):
    with pytest.raises(TypeError, match=r"texts\[1\] is int"):
        asyncio.run(bert.aencode(["text", 1]))


def test_the_loop_goes_on_while_a_long_call_runs(bert, calls):
    """Also while many texts are read: those that are not ASCII are converted first, at once a long way in one step."""

    async def turns() -> int:
        began, count = time.monotonic(), 0
        call = asyncio.ensure_future(bert.aencode([f"{number} données" for number in range(300_000)]))
        while time.monotonic() < began + 1.5 and not call.done():
            await asyncio.sleep(0.001)
            count += 1
        call.cancel()
        return count

    # A loop that stands still has one or two; how many a second it has else, tests/benchmarks/async_loop.py measures.
    assert asyncio.run(turns()) > 5


def test_as_many_calls_go_on_at_a_time_as_there_are_callers(bert):
    """Those that wait must be in the core to join: asyncio's own threads would be five on one core."""
    meeting, texts = threading.Barrier(200), [f"text {number}" for number in range(200)]

    async def all_at_once() -> list[Any]:
        await asyncio.gather(*(background.awaited(meeting.wait, 30) for _ in texts))
        return await asyncio.gather(*(bert.aencode(text) for text in texts))

    assert np.array_equal(asyncio.run(all_at_once()), bert.encode(texts))


def test_a_cancelled_call_ends_and_so_do_those_that_wait(tiny_bert, calls):
    model = FlagModel(str(tiny_bert))
    before = model.encode("text")

    async def cancel_three() -> None:
        tasks = [asyncio.create_task(model.aencode(LONG)) for _ in range(3)]
        await until_running(calls, 3)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*tasks, return_exceptions=True)
        )

    asyncio.run(cancel_three())
    assert max(map(end_of, calls)) < 10
    assert np.array_equal(model.encode("text"), before)


def test_a_call_over_its_time_ends(bert, calls):
    async def wait() -> None:
        async with asyncio.timeout(0.2):
            await bert.aencode_corpus(LONG)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert end_of(calls[0]) < 10


def test_a_call_of_many_short_passes_begins_no_other(calls):
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")), passage_max_length=64, query_max_length=64)
    pairs = [(f"query {number}", f"passage {number}") for number in range(200_000)]

    async def cancel() -> None:
        task = asyncio.create_task(model.acompute_score(pairs))
        await until_running(calls)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancel())
    assert end_of(calls[0]) < 10


PROGRAM = f"""
import asyncio, sys, time
from bge_fast import FlagModel
model = FlagModel({str(checkpoint("tiny-bert"))!r})
texts = [f"{{number}} boundary layer flow " * 60 for number in range(20_000)]
"""


def test_the_process_ends_after_a_call_that_was_cancelled():
    code = f"{PROGRAM}\ntry:\n    asyncio.run(asyncio.wait_for(model.aencode(texts), 0.5))\nexcept TimeoutError:\n    print('over')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("over\n", "")


def test_the_process_ends_after_ctrl_c():
    code = f"{PROGRAM}\nprint('running', flush=True)\nasyncio.run(model.aencode(texts))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"running\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in errors


def test_the_process_ends_though_nobody_waits_for_a_call():
    code = f"{PROGRAM}\nloop = asyncio.new_event_loop()\ntask = loop.create_task(model.aencode(texts * 100))\nloop.run_until_complete(asyncio.sleep(0.5))"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)


def test_a_thread_goes_on_with_blocks_after_the_main_thread_has_ended():
    code = f"""{PROGRAM}
import threading

def slow():
    for text in texts[:20]:
        time.sleep(0.02)
        yield text

def work():
    print(sum(map(len, model.encode_iter(slow(), block_size=5))))

threading.Thread(target=work).start()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("20\n", "")


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_has_threads_of_its_own(tiny_bert):
    model = FlagModel(str(tiny_bert))
    before = asyncio.run(model.aencode(TEXTS))
    assert in_fork(lambda: 7 if np.array_equal(asyncio.run(model.aencode(TEXTS)), before) else 1) == 7
    assert np.array_equal(asyncio.run(model.aencode(TEXTS)), before)


def test_a_bar_is_shown_only_where_it_is_asked_for(bert, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(progress, "DELAY", 0.001)
    texts = [f"{number} boundary layer " * 50 for number in range(300)]
    asyncio.run(bert.aencode(texts))
    assert terminal.getvalue() == ""
    asyncio.run(bert.aencode(texts, show_progress_bar=True))
    assert "300/300" in terminal.getvalue()


def test_nothing_is_imported_before_it_is_used():
    code = "import sys; from bge_fast import FlagModel; sys.exit(bool({'asyncio', 'concurrent.futures'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
