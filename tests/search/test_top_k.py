"""Exact search against sorting in float64."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bge_fast.errors import NumericsError
from bge_fast.search import top_k

RANDOM = np.random.default_rng(11)


def whole_numbers(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Numbers whose products float32 holds, so that many scores are equal."""
    return RANDOM.integers(-3, 4, shape).astype(dtype)


def brute(queries: np.ndarray, vectors: np.ndarray, k: int, exclude: list[list[int]]) -> list[list[int]]:
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    return [
        [place for place in np.argsort(-row, kind="stable").tolist() if place not in no][:k]
        for row, no in zip(scores, exclude, strict=True)
    ]


@pytest.mark.parametrize("seed", range(200))
def test_places_are_those_of_sorting_in_float64(seed: int) -> None:
    random = np.random.default_rng(seed)
    n, m, d, k = (int(random.integers(1, high)) for high in (9, 400, 33, 120))
    queries, vectors = whole_numbers(n, d), whole_numbers(m, d, dtype=("float32", "float16", "int8")[seed % 3])
    exclude = [random.integers(0, m, int(random.integers(0, 4))).tolist() for _ in range(n)]
    hits = top_k(queries, vectors, k, block=int(random.integers(1, 500)), exclude=exclude)
    assert hits.scores.shape == hits.ids.shape == (n, k)
    assert (hits.scores.dtype, hits.ids.dtype) == (np.float32, np.int64)
    for query, expected in enumerate(brute(queries, vectors, k, exclude)):
        filled = len(expected)
        assert hits.ids[query, :filled].tolist() == expected
        assert (hits.ids[query, filled:] == -1).all()
        assert (hits.scores[query, :filled] == vectors[expected].astype(np.float32) @ queries[query]).all()
        assert (hits.scores[query, filled:] == -np.inf).all()


def test_many_queries_and_blocks() -> None:
    queries, vectors = whole_numbers(1100, 8), whole_numbers(5000, 8)
    hits = top_k(queries, vectors, 50, block=700)
    assert hits.ids.tolist() == brute(queries, vectors, 50, [[]] * 1100)


def test_a_mapped_file_and_one_query(tmp_path: Path) -> None:
    vectors = whole_numbers(300, 16, dtype="float16")
    np.save(tmp_path / "x.npy", vectors)
    for given in (tmp_path / "x.npy", str(tmp_path / "x.npy"), np.load(tmp_path / "x.npy", mmap_mode="r")):
        assert top_k(vectors[7], given, 3).ids.tolist() == brute(vectors[7:8], vectors, 3, [[]])


def test_nothing_to_search_in_and_nothing_to_search() -> None:
    assert top_k(np.ones((2, 4)), np.ones((0, 4), np.float32), 3).ids.tolist() == [[-1] * 3] * 2
    assert top_k(np.ones((0, 4)), np.ones((5, 4), np.float32), 3).ids.shape == (0, 3)


def test_progress_is_told() -> None:
    done: list[int] = []
    top_k(whole_numbers(600, 4), whole_numbers(25, 4), 2, block=10, progress=done.append)
    assert done == [10, 20, 25]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_named(bad: float) -> None:
    vectors = np.ones((50, 4), np.float32)
    vectors[41, 2] = bad
    with pytest.raises(NumericsError, match=r"queries\[0\] and vectors\[41\]"):
        top_k(np.ones((2, 4)), vectors, 3, block=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k=0 is not a whole number"),
        ({"k": True}, "k=True"),
        ({"block": 0}, "block=0"),
        ({"vectors": np.ones((3, 4))}, r"float64; give float32, float16 or int8"),
        ({"vectors": np.ones(4, np.float32)}, r"shape \(4,\)"),
        ({"queries": np.ones((2, 5))}, r"queries have the shape \(2, 5\), but vectors have 4"),
        ({"exclude": [[]]}, "exclude has 1 entries for 2 queries"),
        ({"exclude": [[], [-1]]}, r"exclude\[1\]"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, object], message: str) -> None:
    given = {"queries": np.ones((2, 4)), "vectors": np.ones((3, 4), np.float32), "k": 1, **arguments}
    with pytest.raises(ValueError, match=message):
        top_k(**given)  # type: ignore[arg-type]


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"x\.npy is no \.npy file"):
        top_k(np.ones((1, 4)), tmp_path / "x.npy", 1)


def test_threads_search_at_once() -> None:
    queries, vectors = whole_numbers(20, 16), whole_numbers(3000, 16)
    expected, found = brute(queries, vectors, 10, [[]] * 20), {}
    threads = [
        threading.Thread(target=lambda one=one: found.update({one: top_k(queries, vectors, 10, block=100 + one)}))
        for one in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(hits.ids.tolist() == expected for hits in found.values())
    assert len(found) == 8


def test_an_interrupt_ends_a_search() -> None:
    program = (
        "import _thread, numpy as np, threading\n"
        "from bge_fast.search import top_k\n"
        "vectors = np.ones((2_000_000, 32), np.int8)\n"
        "threading.Timer(0.5, _thread.interrupt_main).start()\n"
        "try:\n    top_k(np.ones((20_000, 32)), vectors, 10)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "interrupted\n", done.stderr
