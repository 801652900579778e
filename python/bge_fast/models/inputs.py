"""What callers may pass in, and the errors for what they may not."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

_LARGEST = 2**31 - 1
_PAIR = 2
# Iterable, but without an order or not of texts.
_NO_LIST = (bytes, bytearray, Mapping, set, frozenset)


def to_texts(sentences: Any, name: str = "texts") -> tuple[list[str], bool]:
    """Return the texts as a list, and whether one bare ``str`` came in. Errors call them ``name``.

    Raises:
        TypeError: not a text or an iterable of texts, or an element that is not a ``str``; names its index.
        ValueError: a numpy array that is not one-dimensional.
    """
    if isinstance(sentences, str):
        return [sentences], True
    if isinstance(sentences, _NO_LIST) or not isinstance(sentences, Iterable):
        raise TypeError(f"expected a str or a list of str, got {type(sentences).__name__}")
    shape = getattr(sentences, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise ValueError(f"expected a one-dimensional array of str, got an array of shape {shape}")
    texts = list(sentences)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            hint = "; pairs belong to a reranker's compute_score" if isinstance(text, tuple | list) else ""
            raise TypeError(f"{name}[{index}] is {type(text).__name__}, not str{hint}")
    return texts, False


def to_pairs(sentence_pairs: Any) -> tuple[list[tuple[str, str]], bool]:
    """Return pairs of a query and a passage as a list, and whether one bare pair came in.

    Raises:
        TypeError: not pairs, or a text of one that is not a ``str``; names its index.
        ValueError: a pair with fewer than two texts, or a flat list that is not one pair.
    """
    if isinstance(sentence_pairs, str):
        raise TypeError('expected pairs [(query, passage), …], got a str; one pair is written ("query", "passage")')
    if isinstance(sentence_pairs, _NO_LIST) or not isinstance(sentence_pairs, Iterable):
        raise TypeError(f"expected pairs [(query, passage), …], got {type(sentence_pairs).__name__}")
    shape = getattr(sentence_pairs, "shape", None)
    if isinstance(shape, tuple) and len(shape) > _PAIR:
        raise ValueError(f"expected pairs as an array of shape (n, 2), got an array of shape {shape}")
    pairs = list(sentence_pairs)
    if pairs and all(isinstance(text, str) for text in pairs):
        if len(pairs) != _PAIR:
            raise ValueError(f"expected [(query, passage), …], got a flat sequence of {len(pairs)} texts")
        return [(pairs[0], pairs[1])], True
    return [_pair(index, pair) for index, pair in enumerate(pairs)], False


def _pair(index: int, pair: Any) -> tuple[str, str]:
    shape = getattr(pair, "shape", None)
    if not isinstance(pair, list | tuple) and not (isinstance(shape, tuple) and len(shape) == 1):
        raise TypeError(f"pairs[{index}] is {type(pair).__name__}, not a pair (query, passage)")
    if len(pair) < _PAIR:
        raise ValueError(f"pairs[{index}] has {len(pair)} texts; a pair is (query, passage)")
    for name, text in zip(("query", "passage"), pair[:_PAIR], strict=True):
        if not isinstance(text, str):
            raise TypeError(f"the {name} of pairs[{index}] is {type(text).__name__}, not str")
    return pair[0], pair[1]


def whole_number(name: str, value: Any, at_least: int) -> int:
    """Return ``value`` as an ``int`` that the core takes; a larger one is as good as no limit all the same.

    Raises:
        TypeError: not an integer.
        ValueError: below ``at_least``.
    """
    if not _is_integer(value):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = operator.index(value)
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")
    return min(number, _LARGEST)


def _is_integer(value: Any) -> TypeGuard[int]:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Raises:
        ValueError: names the value and what is allowed.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return str(value)
