"""Results block by block: of generators that are not drained, and into arrays of the caller's."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, ColbertBatch, FlagModel, ForkedProcessError, NumericsError, SparseBatch
from tests.models.test_fork import in_fork
from tests.support.checkpoints import checkpoint

TEXTS = [f"{number} boundary layer " + "flow " * (number % 7) for number in range(500)]


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")), passage_max_length=64, query_max_length=64)


@pytest.mark.parametrize("size", [1, 64, 100, 499, 500, 501])
def test_blocks_have_the_vectors_of_one_call(bert, size):
    texts = TEXTS[:20] if size == 1 else TEXTS
    blocks = list(bert.encode_iter(iter(texts), block_size=size))
    assert [len(block) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate(blocks), bert.encode(texts))


def test_no_text_gives_no_block(bert):
    assert list(bert.encode_iter([])) == []


def test_passages_get_their_instruction_and_options_count(tiny_bert):
    model = FlagModel(str(tiny_bert), passage_instruction_for_retrieval="passage: ")
    blocks = model.encode_corpus_iter(TEXTS, max_length=12, block_size=200)
    assert np.array_equal(np.concatenate(list(blocks)), model.encode_corpus(TEXTS, max_length=12))
    (block,) = model.encode_iter(TEXTS[:5], instruction="x: ")
    assert np.array_equal(block, model.encode(TEXTS[:5], instruction="x: "))


def test_a_generator_is_drawn_as_its_blocks_are_needed(bert):
    drawn = 0

    def texts() -> Iterator[str]:
        nonlocal drawn
        while True:
            drawn += 1
            yield f"text {drawn}"

    blocks = bert.encode_iter(texts())
    next(blocks)
    assert drawn < 5000
    before = drawn
    next(blocks)
    assert drawn - before <= 2048
    blocks.close()


def test_errors_name_a_text_by_its_place_among_all(bert):
    blocks = bert.encode_iter([*TEXTS, 3], block_size=100)
    assert sum(len(next(blocks)) for _ in range(5)) == 500
    with pytest.raises(TypeError, match=r"texts\[500\] is int"):
        next(blocks)
    blocks = bert.encode_iter(["text"] * 150 + ["\ud800"], block_size=100)
    with pytest.raises(ValueError, match=r"texts\[150\] is not valid Unicode"):
        list(blocks)


def test_an_error_of_the_generator_comes_through(bert):
    def texts() -> Iterator[str]:
        yield "text"
        raise KeyError("row 2")

    with pytest.raises(KeyError, match="row 2"):
        list(bert.encode_iter(texts()))


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (["text"], {}, "iterable of str"),
        ([None], {}, "iterable of str"),
        ([{"a": 1}], {}, "iterable of str"),
        ([["text"]], {"block_size": 0}, "block_size must be at least 1"),
        ([["text"]], {"block_size": "many"}, "block_size must be an integer"),
        ([["text"]], {"show_progress_bar": True}, "unexpected keyword argument 'show_progress_bar'"),
        ([np.array([["a"]])], {}, "one-dimensional"),
    ],
)
def test_what_cannot_be_streamed_is_refused_at_once(bert, arguments, keywords, message):
    with pytest.raises((TypeError, ValueError), match=message):
        bert.encode_iter(*arguments, **keywords)


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(bert):
    blocks = bert.encode_iter(TEXTS, block_size=100)
    next(blocks)

    def child() -> int:
        try:
            list(blocks)
        except ForkedProcessError:
            return 7 if len(list(bert.encode_iter(TEXTS))) == 1 else 1
        return 2

    assert in_fork(child) == 7
    assert len(list(blocks)) == 4


def test_ctrl_c_ends_a_stream(tiny_bert):
    code = f"""
import _thread, threading
from bge_fast import FlagModel
model = FlagModel({str(tiny_bert)!r})
threading.Timer(0.5, _thread.interrupt_main).start()
try:
    for _ in model.encode_iter(f"{{number}} boundary layer flow " * 60 for number in range(1_000_000)):
        pass
except KeyboardInterrupt:
    print(len(model.encode("text")))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "32\n"


def test_m3_gives_blocks_of_what_its_verbs_give(m3):
    blocks = list(m3.encode_iter(iter(TEXTS), block_size=150, return_sparse=True, return_colbert_vecs=True))
    whole = m3.encode(TEXTS, return_sparse=True, return_colbert_vecs=True)
    assert np.array_equal(np.concatenate([block["dense_vecs"] for block in blocks]), whole["dense_vecs"])
    assert [weights for block in blocks for weights in block["lexical_weights"]] == whole["lexical_weights"]
    vectors = [vectors for block in blocks for vectors in block["colbert_vecs"]]
    assert all(map(np.array_equal, vectors, whole["colbert_vecs"]))
    native = list(m3.encode_vectors_iter(TEXTS, block_size=150, colbert=True))
    assert SparseBatch.concat([block.sparse for block in native]) == m3.encode_vectors(TEXTS).sparse
    assert ColbertBatch.concat([block.colbert for block in native]) == m3.encode_vectors(TEXTS, colbert=True).colbert
    assert sum(len(block["dense_vecs"]) for block in m3.encode_corpus_iter(TEXTS)) == len(TEXTS)


def test_memory_does_not_grow_with_a_generator(tiny_bert):
    code = f"""
import resource
from bge_fast import FlagModel
model = FlagModel({str(tiny_bert)!r})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
model.encode(["text"] * 5000)
opened = peak()
rows = sum(map(len, model.encode_iter(f"text {{number}}" for number in range(100_000))))
print(rows, peak() - opened)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows, grown = ended.stdout.split()
    assert (rows, float(grown) < 50) == ("100000", True), grown


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("verb", ["encode", "encode_queries", "encode_corpus"])
def test_vectors_are_written_to_a_memory_map(bert, tmp_path, verb, kind):
    texts, plain = TEXTS * 9, getattr(bert, verb)(TEXTS * 9)
    out = np.lib.format.open_memmap(tmp_path / "vectors.npy", mode="w+", dtype=kind, shape=plain.shape)
    assert getattr(bert, verb)(texts, out=out) is out
    out.flush()
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), plain.astype(kind))


def test_vectors_are_written_to_every_second_row(bert):
    whole = np.zeros((2 * len(TEXTS), 32), np.float32)
    bert.encode(TEXTS, out=whole[::2])
    assert np.array_equal(whole[::2], bert.encode(TEXTS))
    assert not whole[1::2].any()


def test_m3_writes_its_dense_vectors(m3):
    plain = m3.encode(TEXTS, return_sparse=True, return_colbert_vecs=True)
    out = np.empty_like(plain["dense_vecs"])
    result = m3.encode(TEXTS, return_sparse=True, return_colbert_vecs=True, out=out)
    assert result["dense_vecs"] is out
    assert np.array_equal(out, plain["dense_vecs"])
    assert result["lexical_weights"] == plain["lexical_weights"]
    assert all(map(np.array_equal, result["colbert_vecs"], plain["colbert_vecs"]))
    out[:] = 0
    native = m3.encode_vectors(TEXTS, colbert=True, out=out)
    assert np.array_equal(native.dense, plain["dense_vecs"])
    assert native.colbert == m3.encode_vectors(TEXTS, colbert=True).colbert
    empty = m3.encode([], return_sparse=True, out=np.empty((0, out.shape[1]), np.float32))
    assert (len(empty["dense_vecs"]), empty["lexical_weights"], empty["colbert_vecs"]) == (0, [], None)


def read_only() -> np.ndarray:
    array = np.empty((2, 32), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((3, 32), np.float32), r"shape \(3, 32\), but the vectors of these texts have \(2, 32\)"),
        (np.empty((2, 31), np.float32), r"\(2, 31\)"),
        (np.empty(64, np.float32), r"\(64,\)"),
        (np.empty((2, 32), np.float64), "array of float64"),
        ([[0.0]], "float32 or float16"),
        (read_only(), "cannot be written to"),
    ],
)
def test_an_array_that_does_not_take_the_vectors_is_refused(bert, m3, out, message):
    for model in (bert, m3):
        with pytest.raises((TypeError, ValueError), match=message):
            model.encode(["one", "two"], out=out)


def test_one_bare_text_has_no_row(bert, m3):
    for model in (bert, m3):
        with pytest.raises(TypeError, match=r"pass \[text\]"):
            model.encode("one", out=np.empty((1, 32), np.float32))
    with pytest.raises(ValueError, match="were not asked for"):
        m3.encode(["one"], return_dense=False, return_sparse=True, out=np.empty((1, 32), np.float32))


def test_bad_texts_are_found_before_anything_is_written(bert):
    out = np.zeros((len(TEXTS) + 1, 32), np.float32)
    with pytest.raises(TypeError, match=r"texts\[500\]"):
        bert.encode([*TEXTS, None], out=out)
    assert not out.any()


def test_what_float16_does_not_hold_is_an_error(tiny_bert, monkeypatch):
    model = FlagModel(str(tiny_bert))
    monkeypatch.setattr(
        "bge_fast.models.dense_streams.encoded", lambda _, texts, *__: (np.full((len(texts), 32), 1e6, np.float32), 0)
    )
    with pytest.raises(NumericsError, match=r"texts\[0\]; use float32"):
        model.encode(["one"], out=np.empty((1, 32), np.float16))


def test_a_call_that_writes_is_awaited_and_cancelled(bert, tmp_path: Path):
    out = np.zeros((len(TEXTS), 32), np.float32)
    asyncio.run(bert.aencode(TEXTS, out=out))
    assert np.array_equal(out, bert.encode(TEXTS))
    texts = [f"{number} boundary layer flow " * 60 for number in range(20_000)]
    out = np.zeros((len(texts), 32), np.float32)

    async def cancel() -> None:
        task = asyncio.create_task(bert.aencode(texts, out=out))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.wait([task])

    before = bert.stats()["calls"]
    asyncio.run(cancel())
    assert bert.stats()["calls"] - before <= 3, "blocks were begun after the call was cancelled"
    assert not out[-1].any()
