"""An event loop beside long calls, how soon a cancelled one ends, and what a stream of texts costs.

.venv/bin/python tests/benchmarks/async_loop.py            # all-MiniLM-L6-v2, which `make setup` brings
.venv/bin/python tests/benchmarks/async_loop.py FOLDER --texts 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from functools import partial
from pathlib import Path

import machine
import memory
import texts

from bge_fast import FlagModel
from bge_fast.runtime import background

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
# So that a call comes to its end only if it is let.
LONG_CALL = 100_000
CANCEL_AFTER = (0.05, 0.2, 0.5, 1.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(ROOT / ".venv" / "all-MiniLM-L6-v2"))
    parser.add_argument("--texts", type=int, default=1_000_000, help="short texts of the long stream")
    options = parser.parse_args()
    for name, value in machine.describe().items():
        print(f"{name}: {value}")
    # A call's mere beginning and end need memory too, which is none of the stream's.
    model = FlagModel(options.folder, use_fp16=False)
    model.encode(["text"] * 32)
    stream(model, options.texts)
    speed(model)
    ticks(model)
    cancelling(model)


def stream(model: FlagModel, count: int) -> None:
    """Peak memory over that of the opened model, and texts that were drawn before the first block."""
    drawn = at_first = 0

    def short_texts() -> Iterator[str]:
        nonlocal drawn
        for number in range(count):
            drawn += 1
            yield f"short text {number}"

    memory.forget_peak()
    opened, rows, began = memory.resident(), 0, time.perf_counter()
    for block in model.encode_iter(short_texts()):
        at_first, rows = at_first or drawn, rows + len(block)
    print(f"\nencode_iter, a generator of {count:,} short texts: {time.perf_counter() - began:.0f} s")
    print(f"  peak over the opened model: {memory.peak() - opened:.0f} MB")
    print(f"  texts drawn before the first block: {at_first:,} of {rows:,}")


def speed(model: FlagModel) -> None:
    """Time of encode_iter over that of encode, in turns."""
    print("\nencode_iter over encode, in turns")
    for name, passages in (
        ("20,000 short texts", [f"short text {number}" for number in range(20_000)]),
        ("4,096 abstracts", texts.generate(4096)),
    ):
        walls, processors = [], []
        for _ in range(ROUNDS):
            whole = timed(partial(model.encode, passages))
            blocks = timed(partial(drain, model, passages))
            walls.append(blocks[0] / whole[0])
            processors.append(blocks[1] / whole[1])
        of_walls = " ".join(f"{ratio:.2f}" for ratio in sorted(walls))
        print(f"  {name}: {statistics.median(walls):.3f} × the time ({of_walls})", end="")
        print(f", {statistics.median(processors):.3f} × the processor time")


def drain(model: FlagModel, passages: list[str]) -> int:
    return sum(map(len, model.encode_iter(iter(passages))))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def ticks(model: FlagModel) -> None:
    """How often a loop comes round while calls run, and its longest pause."""

    async def beside(passages: list[str], calls: int, seconds: float) -> tuple[float, float]:
        running = [asyncio.ensure_future(model.aencode(passages)) for _ in range(calls)]
        pauses, last = [], time.perf_counter()
        end = last + seconds
        while last < end and not all(call.done() for call in running):
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now
        for call in running:
            call.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return len(pauses) / sum(pauses), 1000 * max(pauses)

    print("\nan event loop beside long calls: ticks a second, longest pause")
    for name, passages, calls in (
        ("one call of abstracts", texts.generate(20_000), 1),
        ("eight calls of abstracts", texts.generate(4_000), 8),
        ("one call of 1,000,000 texts that are not ASCII", [f"données {number}" for number in range(1_000_000)], 1),
    ):
        rate, pause = asyncio.run(beside(passages, calls, 5))
        print(f"  {name}: {rate:.0f}, {pause:.0f} ms")


def cancelling(model: FlagModel) -> None:
    """Time from cancelling to the end of the call's thread."""
    begun: list[background.Background[object]] = []

    class Seen(background.Background[object]):
        def __init__(self, work: Callable[[], object]) -> None:
            super().__init__(work)
            begun.append(self)

    background.Background = Seen  # type: ignore[misc]

    async def cancel(passages: list[str], calls: int, after: float) -> None:
        running = [asyncio.create_task(model.aencode(passages)) for _ in range(calls)]
        await asyncio.sleep(after)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    print("\ntime from cancelling to the end of the call, after " + ", ".join(f"{after} s" for after in CANCEL_AFTER))
    for calls, count in ((1, LONG_CALL), (8, LONG_CALL // 8)):
        passages, latencies = texts.generate(count), []
        for after in CANCEL_AFTER:
            begun.clear()
            asyncio.run(cancel(passages, calls, after))
            began = time.perf_counter()
            wait([call.future for call in begun])
            latencies.append(time.perf_counter() - began)
        print(f"  {calls} at once: " + ", ".join(f"{1000 * latency:.0f} ms" for latency in latencies))


if __name__ == "__main__":
    main()
