"""Forked children of a process that has a model open."""

import os
import shutil
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest

from bge_fast import FlagModel, ForkedProcessError

pytestmark = pytest.mark.filterwarnings("ignore:This process")


def in_fork(work: Callable[[], int]) -> int:
    """Run `work` in a forked child; its exit status is what `work` returns, 98 if it raises, 99 after twenty seconds."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(99))
        signal.alarm(20)
        status = 98
        try:
            status = work()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_forked_child_opens_the_model_again_by_itself(tiny_bert):
    model = FlagModel(str(tiny_bert))
    texts = ["one text", "another and longer text"] * 40
    before = model.encode(texts)

    def child() -> int:
        same = np.array_equal(model.encode(texts), before)
        opened = model._opened
        return 7 if same and model.tokenizer.encode("a") and model._opened is opened else 1

    assert in_fork(child) == 7
    assert np.array_equal(model.encode(texts), before)


def test_children_forked_while_other_threads_encode(tiny_bert):
    model = FlagModel(str(tiny_bert))
    texts = ["some text of a few words"] * 8
    before, over = model.encode(texts), threading.Event()

    def encode() -> None:
        while not over.is_set():
            model.encode(texts)

    threads = [threading.Thread(target=encode) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            assert in_fork(lambda: 7 if np.array_equal(model.encode(texts), before) else 1) == 7
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_grandchild_opens_it_again_too(tiny_bert):
    model = FlagModel(str(tiny_bert))
    assert in_fork(lambda: (model.encode("x"), in_fork(lambda: 7 if len(model.encode("x")) else 1))[1]) == 7


def test_on_fork_error_refuses_and_leaves_the_parent_alone(tiny_bert):
    model = FlagModel(str(tiny_bert), on_fork="error")
    before = model.encode("text")

    def child() -> int:
        refused = 0
        for call in (
            lambda: model.encode("text"),
            lambda: model.encode([f"text {number}" for number in range(300)]),
            model.info,
        ):
            try:
                call()
            except ForkedProcessError as error:
                refused += "spawn" in str(error)
        model.close()
        return refused

    assert in_fork(child) == 3
    assert np.array_equal(model.encode("text"), before)


def test_on_fork_is_one_of_two(tiny_bert):
    with pytest.raises(ValueError, match="on_fork"):
        FlagModel(str(tiny_bert), on_fork="retry")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_child_does_not_open_other_files_than_its_parent(own_checkpoint, tmp_path, name):
    model = FlagModel(str(own_checkpoint))
    new = shutil.copy(own_checkpoint / name, tmp_path / "new")
    os.replace(new, own_checkpoint / name)
    before = model.encode("text")

    def child() -> int:
        try:
            model.encode("text")
        except ForkedProcessError as error:
            return 7 if name in str(error) else 1
        return 2

    assert in_fork(child) == 7
    assert np.array_equal(model.encode("text"), before)


def test_the_core_itself_refuses_in_a_forked_child(bert):
    core = bert._open().core

    def child() -> int:
        try:
            core.providers()
        except ForkedProcessError:
            return 7
        return 1

    assert in_fork(child) == 7
