"""What the tokenizer gives for texts: rows of ids, cut, padded, as lists or arrays."""

import operator
from collections.abc import Iterable
from typing import Any, Generic, Literal, TypedDict, TypeVar

import numpy as np

Column = TypeVar("Column")
Padding = bool | Literal["longest", "max_length", "do_not_pad"]
Truncation = bool | Literal["longest_first", "do_not_truncate"] | None
_PADDINGS = (False, True, "longest", "max_length", "do_not_pad")
_TRUNCATIONS = (None, False, True, "longest_first", "do_not_truncate")


class Options(TypedDict, total=False):
    """Keywords of a call of the tokenizer."""

    add_special_tokens: bool
    padding: Padding
    truncation: Truncation
    max_length: int | None


class Encoding(dict[str, Column], Generic[Column]):
    """``input_ids``, ``attention_mask`` and where the tokenizer gives them ``token_type_ids``; also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}; it has {', '.join(self)}") from None


def length_of(max_length: int | None, model_max_length: int, truncation: Truncation, unlimited: int) -> int:
    """The most ids of one text.

    Raises:
        TypeError, ValueError: ``max_length`` is no length, ``truncation`` no known way.
    """
    if truncation not in _TRUNCATIONS:
        raise ValueError(f"truncation is {truncation!r:.40}; known are {', '.join(map(repr, _TRUNCATIONS))}")
    if max_length is not None:
        (max_length,) = whole_numbers("max_length", [max_length], unlimited, place=False)
    cut = max_length is not None if truncation is None else truncation not in (False, "do_not_truncate")
    if not cut:
        return unlimited
    return model_max_length if max_length is None else max_length


def cut_pair(first: list[int], second: list[int], room: int, *, left: bool) -> tuple[list[int], list[int]]:
    """Both cut so that they fit together: the longer one first, as tokenizers does."""
    if len(first) + len(second) <= room:
        return first, second
    short, long = sorted((len(first), len(second)))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    keep_first, keep_second = (long, short) if len(first) > len(second) else (short, long)
    return _cut(first, keep_first, left), _cut(second, keep_second, left)


def _cut(ids: list[int], length: int, left: bool) -> list[int]:
    length = min(length, len(ids))
    return ids[len(ids) - length :] if left else ids[:length]


def assembled(
    rows: list[tuple[list[int], int]],
    names: list[str],
    padding: Padding,
    width: int | None,
    pad: int,
    tensors: str | None,
    *,
    one: bool,
) -> Encoding[Any]:
    """The columns of rows that are given as ids and the number of those with token type 0.

    Raises:
        ValueError: an unknown way of padding or kind of arrays, or rows of different lengths for an array.
    """
    if padding not in _PADDINGS:
        raise ValueError(f"padding is {padding!r:.40}; known are {', '.join(map(repr, _PADDINGS))}")
    longest = max((len(ids) for ids, _ in rows), default=0)
    to = 0 if padding in (False, "do_not_pad") else max(width or 0, 0) if padding == "max_length" else longest
    columns: dict[str, list[list[int]]] = {name: [] for name in names}
    for ids, first in rows:
        blank = [0] * (to - len(ids))
        columns["input_ids"].append(ids + [pad] * len(blank))
        columns["attention_mask"].append([1] * len(ids) + blank)
        if "token_type_ids" in columns:
            columns["token_type_ids"].append([0] * first + [1] * (len(ids) - first) + blank)
    if tensors is None:
        return Encoding({name: column[0] if one else column for name, column in columns.items()})
    return Encoding({name: _array(column, tensors) for name, column in columns.items()})


def _array(rows: list[list[int]], tensors: str) -> Any:
    if tensors not in ("np", "pt"):
        raise ValueError(f"return_tensors is {tensors!r:.40}; known are 'np' and 'pt'")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("texts of different lengths make no array: pass padding=True")
    array = np.array(rows, dtype=np.int64)
    if tensors == "np":
        return array
    import torch

    return torch.from_numpy(array)


def whole_numbers(name: str, values: Iterable[object], largest: int, *, place: bool = True) -> list[int]:
    """Numbers as plain ints.

    Raises:
        TypeError, ValueError: one is no whole number from 0 to ``largest``; names it.
    """
    numbers = []
    for index, value in enumerate(values):
        which = f"{name}[{index}]" if place else name
        if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
            raise TypeError(f"{which} is {type(value).__name__}, not a whole number")
        number = operator.index(value)
        if not 0 <= number <= largest:
            raise ValueError(f"{which} must lie between 0 and {largest}")
        numbers.append(number)
    return numbers
