"""Rows by the length of their longest text."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Any

from bge_fast.mining.rows import Place, Row, Rows, by_number, checked

Range = tuple[int, float]
"""Tokens from the first number on, below the second; the last range ends with infinity."""


def row_length(tokenizer: Any, row: Row) -> int:
    """Tokens of the longest of a row's query, positives and negatives, special tokens included, none cut."""
    texts = dict.fromkeys((row["query"], *row["pos"], *(row.get("neg") or ())))
    return max(len(tokenizer.encode(text)) for text in texts)


def ranges(bounds: Sequence[int]) -> list[Range]:
    """The ranges between bounds, and the one behind the last.

    Raises:
        ValueError: bounds do not rise.
    """
    if not bounds or any(one >= other for one, other in pairwise(bounds)) or bounds[0] < 0:
        raise ValueError(f"bounds {list(bounds)} must be numbers of tokens that rise, such as 0, 500, 1000")
    return list(zip(bounds, [*bounds[1:], inf], strict=True))


def split_by_length(
    tokenizer_or_model: Any, rows: Rows, bounds: Sequence[int], *, place: Place = by_number
) -> dict[Range, list[Row]]:
    """Sort rows into ranges of tokens; those shorter than the first bound are in none, and ranges may be empty."""
    tokenizer = getattr(tokenizer_or_model, "tokenizer", tokenizer_or_model)
    parts: dict[Range, list[Row]] = {one: [] for one in ranges(bounds)}
    for row in checked(rows, place):
        found = range_of(row_length(tokenizer, row), list(parts))
        if found is not None:
            parts[found].append(row)
    return parts


def range_of(length: int, parts: Sequence[Range]) -> Range | None:
    """The range that a length lies in."""
    at = bisect_right([low for low, _ in parts], length)
    return parts[at - 1] if at else None
