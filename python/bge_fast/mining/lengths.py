"""Rows by the length of their longest text."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from bge_fast.mining.rows import Place, Row, Rows, by_number, checked, windows

Range = tuple[int, float]
"""Tokens from the first number on, below the second; the last range ends with infinity."""
# Rows whose texts are tokenized at once.
_ROWS = 256


def split_by_length(
    tokenizer_or_model: Any, rows: Rows, bounds: Sequence[int], *, place: Place = by_number
) -> dict[Range, list[Row]]:
    """Sort rows into ranges of tokens; those shorter than the first bound are in none, and ranges may be empty.

    A row is as long as the longest of its query, positives and negatives, special tokens included, nothing cut.
    """
    tokenizer = getattr(tokenizer_or_model, "tokenizer", tokenizer_or_model)
    parts: dict[Range, list[Row]] = {one: [] for one in ranges(bounds)}
    for row, length in with_lengths(tokenizer, rows, place):
        if (found := range_of(length, list(parts))) is not None:
            parts[found].append(row)
    return parts


def with_lengths(tokenizer: Any, rows: Rows, place: Place = by_number) -> Iterator[tuple[Row, int]]:
    """Rows, each with the tokens of its longest text."""
    for _, window in windows(checked(rows, place), _ROWS):
        texts = [list(dict.fromkeys((row["query"], *row["pos"], *(row.get("neg") or ())))) for row in window]
        counts = iter(tokenizer.count_tokens([text for some in texts for text in some]))
        for row, some in zip(window, texts, strict=True):
            yield row, max(next(counts) for _ in some)


def ranges(bounds: Sequence[int]) -> list[Range]:
    """The ranges between bounds, and the one behind the last.

    Raises:
        ValueError: bounds do not rise.
    """
    if not bounds or any(one >= other for one, other in pairwise(bounds)) or bounds[0] < 0:
        raise ValueError(f"bounds {list(bounds)} must be numbers of tokens that rise, such as 0, 500, 1000")
    return list(zip(bounds, [*bounds[1:], inf], strict=True))


def range_of(length: int, parts: Sequence[Range]) -> Range | None:
    """The range that a length lies in."""
    at = bisect_right([low for low, _ in parts], length)
    return parts[at - 1] if at else None
