"""How long calls take, and texts to call with."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

_SENTENCE = (
    "a wing in slip flow with heat transfer at the boundary layer of thin plates under shock waves and high pressure "
    "where small bodies move through air of low density while measured lift drag and flutter agree with theory"
)
_TEXTS = 512
_FEWEST = 4
_LEAST_CALLS = 3
_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Latency:
    """Times of calls with one text, in milliseconds."""

    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    def as_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def latency(call: Callable[[int], object], seconds: float) -> Latency:
    """Time calls, one after the other; each gets its number."""
    call(0)
    times: list[float] = []
    ends = time.perf_counter() + seconds
    while not times or time.perf_counter() < ends:
        started = time.perf_counter()
        call(len(times))
        times.append((time.perf_counter() - started) * 1e3)
    return Latency(len(times), *(float(np.percentile(times, one)) for one in _PERCENTILES))


def rate(call: Callable[[int], object], seconds: float, most: int = _TEXTS) -> float:
    """Texts a second in the median of calls with many: as many as take a quarter of the time, at most ``most``."""
    count = min(_FEWEST, most)
    call(count)
    while True:
        started = time.perf_counter()
        call(count)
        took = time.perf_counter() - started
        if count >= most or 2 * took > seconds / 4:
            break
        count = min(2 * count, most)
    times, ends = [took], time.perf_counter() + seconds - took
    while len(times) < _LEAST_CALLS or time.perf_counter() < ends:
        started = time.perf_counter()
        call(count)
        times.append(time.perf_counter() - started)
    return count / median(times)


def texts_of(tokens: int, count_tokens: Callable[[str], int], count: int = _TEXTS) -> list[str]:
    """Different texts of about so many tokens, special ones included; the same in every run."""
    drawn = random.Random(tokens)
    sample, least = _drawn(drawn, 256), count_tokens("")
    of_word = (count_tokens(sample) - least) / 256
    # Some words more, to be cut.
    words = round(1.2 * max(tokens - least, 1) / of_word) + 4
    return [_cut(_drawn(drawn, words).split(), tokens, count_tokens) for _ in range(count)]


def _cut(words: list[str], tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The first words, as many as fit into so many tokens; one at least."""
    while len(words) > 1 and (over := count_tokens(" ".join(words)) - tokens) > 0:
        words = words[: -max(over // 8, 1)]
    return " ".join(words)


def _drawn(drawn: random.Random, words: int) -> str:
    return " ".join(drawn.choices(_SENTENCE.split(), k=words))
