"""Rows of a query and its own passages: as strings, as objects, or as ``search --json`` writes them."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bge_fast.commands.foreign import InputError
from bge_fast.commands.formats import DEFAULT_FIELD
from bge_fast.commands.texts import Text, check_unicode

# Enough to sort by length; what is held.
_PAIRS = 4096


class Candidate(NamedTuple):
    """A passage that is scored."""

    text: str
    record: dict[str, Any]
    """What is told of it beside rank and score; its text or object is ``passage``."""


class Row(NamedTuple):
    """A query with its own passages."""

    query: str
    record: dict[str, Any]
    """The other fields of the row, ``query`` among them."""
    passages: list[Candidate]


def rows(texts: Iterable[Text], field: str | None) -> Iterator[Row]:
    """Read rows whose texts are queries; passages are in ``passages`` or ``results``.

    Args:
        field: of passages that are objects the field that is their text; ``None`` for ``text``.

    Raises:
        InputError: names the row, and the passage.
    """
    for text in texts:
        name = next((name for name in ("passages", "results") if name in text.record), None)
        if name is None or not isinstance(text.record[name], list):
            raise InputError(f"{text.place}: no list 'passages' of strings or objects, nor 'results' of search --json")
        record = {key: value for key, value in text.record.items() if key != name}
        of = _result if name == "results" else _passage
        places = ((number, f"{text.place}: {name}[{number}]") for number in range(len(text.record[name])))
        passages = [
            of(one, number, field or DEFAULT_FIELD, place)
            for one, (number, place) in zip(text.record[name], places, strict=True)
        ]
        yield Row(text.text, record, passages)


def windows(read: Iterable[Row]) -> Iterator[list[Row]]:
    """Group rows into lists that are worth one call and small enough to hold."""
    window: list[Row] = []
    pairs = 0
    for row in read:
        window.append(row)
        pairs += len(row.passages)
        if max(pairs, len(window)) >= _PAIRS:
            yield window
            window, pairs = [], 0
    if window:
        yield window


def _passage(value: Any, number: int, field: str, place: str) -> Candidate:
    return Candidate(_text_of(value, field, place), {"position": number, "passage": value})


def _result(value: Any, _: int, field: str, place: str) -> Candidate:
    if not isinstance(value, dict) or "passage" not in value:
        raise InputError(f"{place}: expected an object with 'passage'")
    told = {name: one for name, one in value.items() if name not in ("rank", "score")}
    return Candidate(_text_of(value["passage"], field, place), told)


def _text_of(value: Any, field: str, place: str) -> str:
    text = value.get(field) if isinstance(value, dict) else value
    if not isinstance(text, str):
        what = f"field {field!r:.80} is {type(text).__name__}" if isinstance(value, dict) else type(value).__name__
        raise InputError(f"{place}: {what}, not a string. Of objects, --field names the field that is the text")
    check_unicode(text, place)
    return text
