"""Rows of training data: ``query``, ``pos``, ``neg``, and keys that only pass through."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NotRequired, TypedDict, cast

from bge_fast.errors import quoted


class Row(TypedDict):
    """A row; it may have any further keys."""

    query: str
    pos: list[str]
    neg: NotRequired[list[str]]
    pos_scores: NotRequired[list[float]]
    neg_scores: NotRequired[list[float]]


Rows = Iterable[Mapping[str, Any]]
"""Rows as they are given: any mappings with these keys."""
Place = Callable[[int], str]
"""What messages call the row of a number."""


def by_number(number: int) -> str:
    """The name of a row that only its number is known of."""
    return f"rows[{number}]"


def checked(rows: Rows, place: Place, negatives: bool = False) -> Iterator[Row]:
    """Rows whose fields are what they should be.

    Raises:
        ValueError: one that is not; names the row.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or not isinstance(row.get("query"), str):
            raise ValueError(f"{place(number)} has no 'query' that is a string: {quoted(row)}")
        for key, needed in (("pos", True), ("neg", negatives)):
            texts = row.get(key)
            if (needed or texts is not None) and not _are_texts(texts):
                raise ValueError(f"{place(number)}: {key!r} is {quoted(texts)}, not a list of strings")
        yield cast(Row, row)


def windows(rows: Iterable[Row], most: int) -> Iterator[tuple[int, list[Row]]]:
    """Lists of ``most`` rows, each with the number of its first."""
    iterator, start = iter(rows), 0
    while window := list(islice(iterator, most)):
        yield start, window
        start += len(window)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
