"""Calls that come at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

THREADS = 8


def at_once(call: Callable[[], Any]) -> list[Any]:
    """The results of one call in eight threads that start together."""
    start = Barrier(THREADS)

    def together(_: int) -> Any:
        start.wait()
        return call()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(together, range(THREADS)))
