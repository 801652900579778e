"""Corpus, queries and judgements from FlagEmbedding's files or BEIR's."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Place = tuple[Path, int]


@dataclass(frozen=True)
class Dataset:
    """A collection with judgements."""

    corpus: dict[str, str]
    """Document id → title and text, as they are encoded."""
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    """Query id → document id → grade; above 0 is relevant."""
    split: str = "test"
    name: str | None = None
    """Of one folder among several."""

    @classmethod
    def read(cls, folder: str | os.PathLike[str], split: str = "test", name: str | None = None) -> "Dataset":
        """Read a folder of FlagEmbedding's or BEIR's layout; ``name`` is a folder in it.

        FlagEmbedding has ``corpus.jsonl``, ``SPLIT_queries.jsonl``, ``SPLIT_qrels.jsonl``; BEIR ``corpus.jsonl``,
        ``queries.jsonl``, ``qrels/SPLIT.tsv``, and reads the judged queries alone. Judgements may be ``.jsonl`` or
        ``.tsv`` in either, and ``qrels.tsv`` without a split.

        Raises:
            FileNotFoundError: a file is missing; names those that were looked for.
            ValueError: a line is not what it should be; names file and line.
        """
        place = Path(folder) / name if name else Path(folder)
        qrels = _qrels(_first(place, f"{split}_qrels.jsonl", f"{split}_qrels.tsv", *_beir_qrels(split)))
        queries_file = _first(place, f"{split}_queries.jsonl", "queries.jsonl")
        queries = _texts(queries_file, _text)
        if queries_file.name == "queries.jsonl":
            queries = {key: text for key, text in queries.items() if key in qrels}
        corpus = _texts(_first(place, "corpus.jsonl"), _passage)
        if not corpus or not queries:
            raise ValueError(f"{place} has {len(corpus)} documents and {len(queries)} judged queries for {split}")
        return cls(corpus, queries, qrels, split, name)


def _beir_qrels(split: str) -> tuple[str, ...]:
    return (f"qrels/{split}.tsv", f"qrels/{split}.jsonl", "qrels.tsv", "qrels.jsonl")


def _first(folder: Path, *names: str) -> Path:
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{folder} has no {' or '.join(names)}; see docs/evaluation.md for the files of a dataset"
        )
    return found


def _texts(file: Path, text: Callable[[dict[str, Any], Place], str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for place, row in _json_lines(file):
        key = _field(row, place, "id", "_id")
        if key in texts:
            raise ValueError(f"{_at(place)}: the id {key!r} comes a second time; ids must differ")
        texts[key] = text(row, place)
    return texts


def _text(row: dict[str, Any], place: Place) -> str:
    text = _field(row, place, "text")
    if not isinstance(row["text"], str):
        raise ValueError(f"{_at(place)}: 'text' is {type(row['text']).__name__}, not a string")
    return text


def _passage(row: dict[str, Any], place: Place) -> str:
    text = _text(row, place)
    return f"{row['title'] or ''} {text}".strip() if "title" in row else text


def _qrels(file: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for place, row in _table(file) if file.suffix == ".tsv" else _json_lines(file):
        query, document = _field(row, place, "qid", "query-id"), _field(row, place, "docid", "corpus-id")
        grade = _field(row, place, "relevance", "score")
        try:
            qrels.setdefault(query, {})[document] = int(float(grade))
        except ValueError as error:
            raise ValueError(f"{_at(place)}: the grade {grade!r} is not a number") from error
    return qrels


def _json_lines(file: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{file}:{number}: not a JSON object: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{file}:{number}: {type(row).__name__}, not a JSON object")
            yield (file, number), row


def _table(file: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=2):
            yield (file, number), row


def _field(row: dict[str, Any], place: Place, *names: str) -> str:
    """The first field that is there, as a string: ids are often numbers."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if value is None:
        present = ", ".join(map(repr, list(row)[:8])) or "no fields"
        raise ValueError(f"{_at(place)}: no {' or '.join(map(repr, names))}; there is {present}")
    return str(value)


def _at(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
