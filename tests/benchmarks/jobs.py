"""What is timed, and the loops around libraries that a few jobs need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALLERS = 64
Matrix = NDArray[np.float32]
_TOKEN_BUDGET = 512


@dataclass(frozen=True)
class Job:
    """Work to time, and facts about it that the tables need."""

    run: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)


def batches_by_length(ids: list[list[int]]) -> list[list[int]]:
    """Rows in order of length, cut where a padded batch would pass the token budget."""
    batches: list[list[int]] = []
    for row in sorted(range(len(ids)), key=lambda row: len(ids[row])):
        if batches and (len(batches[-1]) + 1) * len(ids[row]) <= _TOKEN_BUDGET:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def seconds_of_each(encode: Callable[[str], Any], texts: list[str]) -> NDArray[np.float64]:
    """What each single call took, one after the other."""
    seconds = []
    for text in texts:
        started = time.perf_counter()
        encode(text)
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


def call_from_threads(encode: Callable[[str], Matrix], texts: list[str]) -> NDArray[np.float64]:
    """Share the texts out among threads that start together; what each call took, waiting included."""
    start = threading.Barrier(CALLERS)
    seconds: list[NDArray[np.float64]] = []

    def work(own: list[str]) -> None:
        start.wait()
        seconds.append(seconds_of_each(encode, own))

    workers = [threading.Thread(target=work, args=(texts[index::CALLERS],)) for index in range(CALLERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return np.concatenate(seconds)
