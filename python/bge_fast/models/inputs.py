"""What callers may pass in, and the errors for what they may not."""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bge_fast.errors import quoted

_LARGEST = 2**31 - 1
_PAIR = 2
# Iterable, but without an order or not of texts.
_NO_LIST = (bytes, bytearray, Mapping, set, frozenset)


def to_texts(sentences: Any, name: str = "texts") -> tuple[list[str], bool]:
    """Return the texts as a list of plain ``str``, and whether one bare ``str`` came in. Errors call them ``name``.

    Raises:
        TypeError: not a text or an iterable of texts, or an element that is not a ``str``; names its index.
        ValueError: a table, or an array that is not one-dimensional.
    """
    if isinstance(sentences, str):
        return [characters(sentences)], True
    if isinstance(sentences, _NO_LIST) or not isinstance(sentences, Iterable):
        raise TypeError(f"expected a str or a list of str, got {type(sentences).__name__}")
    if _dimensions(sentences) != 1:
        raise ValueError(f"expected one-dimensional {name}, got {_described(sentences)}")
    texts = _elements(sentences)
    for index, text in enumerate(texts):
        if type(text) is str:
            continue
        if not isinstance(text, str):
            hint = "; pairs belong to a reranker's compute_score" if isinstance(text, tuple | list) else ""
            raise TypeError(f"{name}[{index}] is {type(text).__name__}, not str{hint}")
        texts[index] = characters(text)
    return texts, False


def to_stream(texts: Any) -> Iterator[Any]:
    """Return what gives the texts one after the other, without drawing any.

    Raises:
        TypeError: one text, or no iterable of texts.
        ValueError: a table, or an array that is not one-dimensional.
    """
    if isinstance(texts, (str, *_NO_LIST)) or not isinstance(texts, Iterable):
        raise TypeError(f"expected an iterable of str, got {type(texts).__name__}")
    if _dimensions(texts) != 1:
        raise ValueError(f"expected one-dimensional texts, got {_described(texts)}")
    return iter(texts.to_pylist() if hasattr(texts, "to_pylist") else texts)


def to_pairs(sentence_pairs: Any) -> tuple[list[tuple[str, str]], bool]:
    """Return pairs of a query and a passage as a list, and whether one bare pair came in.

    A pair has exactly two texts, by their places. Data frames and other tables are read by rows.

    Raises:
        TypeError: not pairs, or a text of one that is not a ``str``; names its index.
        ValueError: a pair of fewer or more texts, a flat list that is not one pair, or two columns instead of pairs.
    """
    if isinstance(sentence_pairs, str):
        raise TypeError('expected pairs [(query, passage), …], got a str; one pair is written ("query", "passage")')
    dimensions = _dimensions(sentence_pairs)
    is_table = dimensions == _PAIR  # Arrow's is not iterable.
    if isinstance(sentence_pairs, _NO_LIST) or not (is_table or isinstance(sentence_pairs, Iterable)):
        raise TypeError(f"expected pairs [(query, passage), …], got {type(sentence_pairs).__name__}")
    if dimensions not in (1, _PAIR):
        raise ValueError(f"expected pairs as a table of shape (n, 2), got {_described(sentence_pairs)}")
    pairs = _rows(sentence_pairs) if is_table else _elements(sentence_pairs)
    if pairs and all(isinstance(text, str) for text in pairs):
        if len(pairs) != _PAIR:
            raise ValueError(f"expected [(query, passage), …], got a flat sequence of {len(pairs)} texts")
        return [(characters(pairs[0]), characters(pairs[1]))], True
    if _may_be_columns(pairs, isinstance(sentence_pairs, tuple)):
        raise ValueError(
            f"two {type(pairs[0]).__name__} of two texts may be two pairs or a column of queries and one of passages; "
            "pass a data frame of two columns, or list(zip(queries, passages))"
        )
    return [_pair(index, pair) for index, pair in enumerate(pairs)], False


def characters(text: str) -> str:
    """The characters of a ``str``, without what its type may add, as members of an enumeration do."""
    return str.__str__(text)


def _dimensions(values: Any) -> int:
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple):
        return len(shape)
    return _PAIR if hasattr(values, "columns") else 1


def _described(values: Any) -> str:
    shape = getattr(values, "shape", None)
    return f"{type(values).__name__} of shape {shape}" if isinstance(shape, tuple) else type(values).__name__


def _elements(values: Iterable[Any]) -> list[Any]:
    # Elements of Arrow's arrays are scalars of its own.
    return values.to_pylist() if hasattr(values, "to_pylist") else list(values)


def _rows(table: Any) -> list[Any]:
    """The rows of a two-dimensional table: iterating a data frame gives the names of its columns."""
    array = table if isinstance(table, np.ndarray) else np.asarray(table, dtype=object)
    if array.ndim != _PAIR:
        raise TypeError(f"the rows of {type(table).__name__} cannot be read; pass them as a list of (query, passage)")
    return list(array.tolist())


def _may_be_columns(pairs: list[Any], in_tuple: bool) -> bool:
    """Whether two one-dimensional arrays may as well be a column of queries and one of passages."""
    if len(pairs) != _PAIR or any(getattr(pair, "shape", None) != (_PAIR,) for pair in pairs):
        return False
    # A row of a data frame is named by its own label, and its texts by the names of the columns.
    if any(isinstance(getattr(pair, "name", None), str) for pair in pairs):
        return True
    labels = [getattr(pair, "index", None) for pair in pairs]
    of_rows = all(isinstance(label, Iterable) and all(isinstance(one, str) for one in label) for label in labels)
    return in_tuple and not of_rows


def _pair(index: int, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, list | tuple) and not (hasattr(pair, "shape") and _dimensions(pair) == 1):
        raise TypeError(f"pairs[{index}] is {type(pair).__name__}, not a pair (query, passage)")
    texts = list(pair)
    if len(texts) != _PAIR:
        raise ValueError(f"pairs[{index}] has {len(texts)} texts; a pair is (query, passage)")
    for name, text in zip(("query", "passage"), texts, strict=True):
        if not isinstance(text, str):
            raise TypeError(f"the {name} of pairs[{index}] is {type(text).__name__}, not str")
    return characters(texts[0]), characters(texts[1])


def positive_number(name: str, value: Any) -> float:
    """Return ``value`` as a ``float`` above zero and finite.

    Raises:
        TypeError: not a number.
        ValueError: zero, negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {quoted(value)}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be above zero and finite, got {quoted(value)}")
    return float(value)


def whole_number(name: str, value: Any, at_least: int | None, at_most: int | None = None) -> int:
    """Return ``value`` as an ``int`` that the core takes.

    Without ``at_most``, one that is too large for the core is as good as no limit all the same.

    Raises:
        TypeError: not an integer.
        ValueError: below ``at_least`` or above ``at_most``.
    """
    number = _integer(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, got {quoted(value)}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {quoted(number)}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {quoted(number)}")
    return min(number, _LARGEST)


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def flag(name: str, value: Any) -> bool:
    """Return whether ``value`` is true.

    Raises:
        TypeError: an array, or whatever else is neither true nor false.
    """
    try:
        return bool(value) if not isinstance(value, np.ndarray) else bool(value.item())
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be True or False, got {quoted(value)}") from None


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Raises:
        ValueError: names the value and what is allowed.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {quoted(value)}")
    return characters(value)
