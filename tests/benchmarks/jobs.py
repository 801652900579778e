"""What is timed, and the loops around libraries that a few jobs need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALLERS = 32
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


def call_from_threads(encode: Callable[[str], Matrix], texts: list[str]) -> None:
    """Share the texts out among threads that start together."""
    start = threading.Barrier(CALLERS)

    def work(own: list[str]) -> None:
        start.wait()
        for text in own:
            encode(text)

    workers = [threading.Thread(target=work, args=(texts[index::CALLERS],)) for index in range(CALLERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
