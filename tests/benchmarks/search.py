"""Exact search beside the bare products and faiss, in turns in one process: time, and memory beside the mapped file.

`python tests/benchmarks/search.py [--vectors 1000000] [--queries 1000] [--k 210]`; faiss where it is installed.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from bge_fast.search import top_k
from bge_fast.search.dense import BLOCK, tiles

WIDTH = 384
# FlagEmbedding's mining script hands so many queries to faiss at a time.
FAISS_BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=210)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.npy")
        queries = write(file, args.vectors, args.queries)
        vectors = np.load(file, mmap_mode="r")
        before = anonymous_megabytes()
        top_k(queries, vectors, args.k)
        print(f"{args.vectors:,} x {WIDTH}, {args.queries:,} queries, k = {args.k}")
        print(f"private memory: {anonymous_megabytes(peak=True) - before:,.0f} MB more at the end than before")
        ways = {"bare products": lambda: products(queries, vectors), "top_k": lambda: top_k(queries, vectors, args.k)}
        compare(ways | faiss_ways(queries, vectors, args.k), args.rounds)


def write(file: Path, count: int, queries: int) -> np.ndarray:
    """A file of random unit vectors, and queries near some of them."""
    random = np.random.default_rng(3)
    stored = np.lib.format.open_memmap(file, "w+", np.float32, (count, WIDTH))
    for start in range(0, count, 100_000):
        rows = random.standard_normal((min(100_000, count - start), WIDTH), np.float32)
        stored[start : start + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = np.array(stored[random.integers(0, count, queries)])
    return near + random.standard_normal(near.shape, np.float32) / WIDTH**0.5


def products(queries: np.ndarray, vectors: np.ndarray) -> None:
    for _ in tiles(queries, vectors, BLOCK):
        pass


def faiss_ways(queries: np.ndarray, vectors: np.ndarray, k: int) -> dict[str, Callable[[], object]]:
    try:
        import faiss
    except ImportError:
        return {}
    index = faiss.IndexFlatIP(WIDTH)
    index.add(np.ascontiguousarray(vectors))
    starts = range(0, len(queries), FAISS_BATCH)
    return {
        "faiss, all queries": lambda: index.search(queries, k),
        f"faiss, {FAISS_BATCH} queries": lambda: [index.search(queries[at : at + FAISS_BATCH], k) for at in starts],
    }


def compare(ways: dict[str, Callable[[], object]], rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways) if turn % 2 else list(reversed(ways)):
            started = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        ratio = median(one / other for one, other in zip(times, seconds["bare products"], strict=True))
        print(f"{name:<20} {median(times):7.2f} s  {ratio:5.2f} x the products  {[round(one, 2) for one in times]}")


def anonymous_megabytes(peak: bool = False) -> float:
    """Resident memory that no file backs; with ``peak`` the process's highest less what files back now."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kilobytes = {name: int(fields[name].split()[0]) for name in ("RssAnon", "VmHWM", "RssFile")}
    return (kilobytes["VmHWM"] - kilobytes["RssFile"] if peak else kilobytes["RssAnon"]) * 1024 / 1e6


if __name__ == "__main__":
    main()
