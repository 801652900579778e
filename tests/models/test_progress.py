"""Bars and counts beside running calls, and the line that is logged when a model opens."""

import logging
import re
import sys
import threading
from types import SimpleNamespace

import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.models import progress
from bge_fast.models.progress import Tally, counted_by, progress_bar
from tests.support.checkpoints import checkpoint


def notebook() -> SimpleNamespace:
    return SimpleNamespace(config={"IPKernelApp": {}})


def test_a_notebook_shows_a_bar_after_a_moment(bert: FlagModel, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=notebook))
    monkeypatch.setattr(progress, "DELAY", 0.05)
    with progress_bar(100, None):
        threading.Event().wait(1)
    shown = capfd.readouterr()
    assert "/100" in shown.out + shown.err


@pytest.mark.parametrize("shell", [None, SimpleNamespace(config={})])
def test_a_plain_shell_shows_none(monkeypatch, capfd, shell):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "DELAY", 0.05)
    with progress_bar(100, None):
        threading.Event().wait(0.5)
    assert capfd.readouterr() == ("", "")


def test_without_a_thread_to_spare_there_is_no_bar(bert: FlagModel, monkeypatch, capfd):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert len(bert.encode(["text"] * 40, show_progress_bar=True)) == 40
    assert capfd.readouterr().err == ""


def test_calls_are_counted(bert: FlagModel):
    tally = Tally()
    with counted_by(tally):
        bert.encode(["wing"] * 40 + ["long " * 20] * 2, max_length=5)
        bert.encode("wing")
    assert (tally.done, tally.truncated) == (43, 2)
    bert.encode("wing")
    assert tally.done == 43


def test_scores_are_counted(capfd):
    tally = Tally()
    with counted_by(tally):
        FlagReranker(str(checkpoint("tiny-reranker"))).compute_score([("a", "b")] * 50, show_progress_bar=True)
    assert (tally.done, tally.truncated) == (50, None)
    assert capfd.readouterr().err == ""


def test_opening_is_logged_once(caplog, tiny_bert):
    with caplog.at_level(logging.INFO, "bge_fast"):
        model = FlagModel(str(tiny_bert), devices="cpu", threads=2)
        model.encode("wing")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("bge_fast", "INFO")
    said = rf"opened {re.escape(str(tiny_bert))} \(embedder, checkpoint\) from model.safetensors on cpu, threads: 2, in \d+ ms"
    assert re.fullmatch(said, record.getMessage())
