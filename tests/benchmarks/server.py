"""`bge-fast serve` beside the same model in a process of its own: time of one request, CPU time of many at once,
requests above capacity, memory over many requests, and what SIGTERM loses.

`python tests/benchmarks/server.py [latency cpu capacity memory stop] [--layers 12] [--calls 1000] [--requests 100000]`
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import http_load
import machine
import random_xlmr
from fleet import ROOT

from bge_fast import FlagModel

TINY = ROOT / "tests" / "checkpoints" / "tiny-bert"
CLIENTS = 64
_TICKS = os.sysconf("SC_CLK_TCK")
WORDS = "boundary layer heat transfer wing flow slip stream shock body supersonic pressure".split()


def text(number: int) -> str:
    """About twenty tokens, another text for each number."""
    return f"{number} " + " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 12))


class Server:
    """A running server."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "bge_fast", "serve", *words, "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        line = self.process.stderr.readline()
        found = re.search(r":(\d+)$", line.strip())
        assert found, line
        self.port = int(found[1])

    def metric(self, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found, name
        return float(found[1])

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def serving(*words: str) -> Iterator[Server]:
    server = Server(*words)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def latency(base: str) -> dict[str, float]:
    """Milliseconds of one query at a time, the server and a model of this process in turns."""
    model, found = FlagModel(base), {"in process": list[float](), "server": list[float]()}
    with serving(base) as server:
        http_load.run(server.port, 1, 20, text)
        for turn in range(20):
            for number in range(turn * 20, turn * 20 + 20):
                began = time.perf_counter()
                model.encode_corpus([text(number)], convert_to_numpy=True)
                found["in process"].append(time.perf_counter() - began)
            found["server"] += http_load.run(server.port, 1, 20, text).seconds[1:]
    medians = {name: 1000 * median(seconds) for name, seconds in found.items()}
    return {**medians, "server's more": medians["server"] - medians["in process"]}


def cpu(base: str, requests: int) -> dict[str, float]:
    """CPU milliseconds a request with 64 clients, in turns with 64 threads of one process."""
    found = {"in process": list[float](), "server": list[float]()}
    with (
        serving(base) as server,
        subprocess.Popen(
            [sys.executable, __file__, "--threads-of", base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as threads,
    ):
        assert threads.stdin
        assert threads.stdout
        for turn in range(6):
            before = server.cpu_seconds()
            http_load.run(server.port, CLIENTS, requests, text)
            seconds = server.cpu_seconds() - before
            threads.stdin.write(f"{requests}\n")
            threads.stdin.flush()
            alone = float(threads.stdout.readline())
            if turn:  # the first one opens forms of the graph
                found["server"].append(1000 * seconds / requests)
                found["in process"].append(1000 * alone / requests)
        threads.stdin.close()
    medians = {name: median(times) for name, times in found.items()}
    return {**medians, "ratio": median(a / b for a, b in zip(found["server"], found["in process"], strict=True))}


def threads_of(base: str) -> None:
    """For each number on stdin, encode so many texts one by one in 64 threads; print the CPU seconds."""
    model = FlagModel(base)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for line in sys.stdin:
            before = time.process_time()
            list(pool.map(lambda number: model.encode_corpus([text(number)]), range(int(line))))
            print(time.process_time() - before, flush=True)


def capacity(base: str) -> dict[str, object]:
    """Statuses with 64 clients, below what the server takes at a time and above."""
    found = {}
    for name, most in (("below", 512), ("above", 16)):
        with serving(base, "--max-waiting", str(most)) as server:
            load = http_load.run(server.port, CLIENTS, 2000, text)
        found[name] = {"statuses": dict(load.statuses), "lost": len(load.lost)}
    return found


def memory(requests: int) -> dict[str, float]:
    """Megabytes of a server with a tiny model after a tenth of the requests, and after all."""
    with serving(str(TINY)) as server:
        sizes = []
        for part in (requests // 10, requests - requests // 10):
            load = http_load.run(server.port, CLIENTS, part, text)
            assert load.statuses[200] == part, load.statuses
            sizes.append(server.metric("process_resident_memory_bytes") / 1e6)
    return {"after a tenth": sizes[0], "after all": sizes[1]}


def stop(rounds: int = 5) -> dict[str, int]:
    """Requests that had no answer when the server was told to stop under load."""
    found = {"answered": 0, "lost": 0}
    for _ in range(rounds):
        server = Server(str(TINY))
        threading.Timer(1, lambda pid=server.process.pid: os.kill(pid, signal.SIGTERM)).start()
        load = http_load.run(server.port, CLIENTS, 10**9, text)
        assert server.process.wait() == 0
        found["answered"] += load.statuses[200]
        found["lost"] += len(load.lost)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*")
    parser.add_argument("--layers", type=int, default=12, help="of the model with bge-base's shape")
    parser.add_argument("--calls", type=int, default=1000, help="of each turn of cpu")
    parser.add_argument("--requests", type=int, default=100_000, help="over which memory is watched")
    parser.add_argument("--threads-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads_of:
        return threads_of(args.threads_of)
    base = str(random_xlmr.make(ROOT / "build" / "bench" / f"base-{args.layers}", random_xlmr.base(args.layers)))
    measures = {
        "latency": lambda: latency(base),
        "cpu": lambda: cpu(base, args.calls),
        "capacity": lambda: capacity(str(TINY)),
        "memory": lambda: memory(args.requests),
        "stop": stop,
    }
    print(json.dumps({"machine": machine.describe()}), flush=True)
    for name in args.what or measures:
        print(json.dumps({name: measures[name]()}), flush=True)
    return None


if __name__ == "__main__":
    main()
