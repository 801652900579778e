"""Runs of decoders: what stops them, forked children, calls that share one, texts of a megabyte."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bge_fast import CallTimeoutError, FlagICLModel, FlagLLMModel
from tests.models.test_decoder_forms import EMBEDDERS, RERANKERS, in_threads, texts
from tests.models.test_fork import in_fork
from tests.support.checkpoints import ROOT, checkpoint, edit_json

EXAMPLES = [{"instruct": "Find it", "query": "lift of a wing in a shock " * 4, "response": "of a wing"}]
# Of so many tokens one run takes half a minute.
LONG = 1 << 17


@pytest.fixture(scope="module")
def endless(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("endless") / "model"
    shutil.copytree(checkpoint("decoder-qwen3"), folder)
    edit_json(folder / "config.json", max_position_embeddings=LONG)
    edit_json(folder / "tokenizer_config.json", model_max_length=LONG)
    return folder


def test_a_run_ends_when_its_time_is_over(endless):
    model = FlagLLMModel(str(endless), timeout=0.5)
    began = time.monotonic()
    with pytest.raises(CallTimeoutError, match=r"timeout=0\.5"):
        model.encode("flow " * LONG, max_length=LONG)
    assert time.monotonic() - began < 2
    assert model.encode("flow").shape == (32,)


INTERRUPTED = """
import os, signal, sys, threading, time
from bge_fast import FlagLLMModel
model = FlagLLMModel(sys.argv[1])
began = time.monotonic()
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    model.encode("flow " * int(sys.argv[2]), max_length=int(sys.argv[2]))
except KeyboardInterrupt:
    print(time.monotonic() - began, len(model.encode("flow")))
"""


def test_control_c_ends_a_run(endless):
    command = [sys.executable, "-c", INTERRUPTED, str(endless), str(LONG)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    seconds, width = done.stdout.split() or pytest.fail(done.stderr)
    assert float(seconds) < 2
    assert width == "32"


@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_a_forked_child_gives_the_same(precision):
    model = FlagICLModel(str(checkpoint("decoder-mistral")), examples_for_task=EXAMPLES, precision=precision)
    before = model.encode_queries(texts())
    assert in_fork(lambda: 7 if np.array_equal(model.encode_queries(texts()), before) else 1) == 7


def test_queries_with_examples_share_runs():
    # Calls of one model that come at once, with two beginnings between them.
    model = FlagICLModel(str(checkpoint("decoder-mistral")), examples_for_task=EXAMPLES, threads=1)
    queries, passages = model.encode_queries(texts()), model.encode_corpus(texts())
    calls = [model.encode_queries, model.encode_corpus]
    found = in_threads(lambda number: calls[number % 2](texts()[number // 2]), range(2 * len(texts())))
    assert np.abs(found[::2] - queries).max() <= 1e-6
    assert np.abs(found[1::2] - passages).max() <= 1e-6


@pytest.mark.parametrize("text", ["wing flow 机翼 données ", "a", "机翼"])
@pytest.mark.parametrize("name", [*EMBEDDERS, *RERANKERS])
def test_a_text_of_a_megabyte_takes_no_minutes(name, text):
    build = RERANKERS.get(name, FlagLLMModel)
    model = build(str(checkpoint(name)))
    long = text * ((1 << 20) // len(text.encode()))
    began = time.monotonic()
    if name in RERANKERS:
        model.compute_score([("lift", long)])
    else:
        model.encode(long)
    assert time.monotonic() - began < 20
