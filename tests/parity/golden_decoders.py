"""Read what FlagEmbedding's decoder classes gave: ids, vectors and scores. Needs numpy only.

golden = load("decoder-qwen3")
for case in golden.cases.values():       # how to call the class named `golden.opened_by`, with which items, and the result
    model = FlagLLMModel(folder, use_fp16=False, devices="cpu", **case.options)
    getattr(model, case.call)(case.items, **case.arguments)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.parity.golden import FOLDER as GOLDEN
from tests.parity.golden import Ids, Vectors, load_texts, unpack_vectors

FOLDER = GOLDEN / "decoders"


@dataclass(frozen=True)
class Case:
    """One call. An item is a text, or a pair; a result is its vector, or its score at each layer asked for."""

    name: str
    call: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    items: list[Any]
    """Texts, or pairs of texts."""
    labels: list[Any]
    """Their labels."""
    ids: list[Ids]
    """What FlagEmbedding fed into the model."""
    results: Vectors
    """`(items, numbers)`, rounded to 1e-7."""


@dataclass(frozen=True)
class Golden:
    """Everything recorded for one checkpoint."""

    name: str
    opened_by: str
    cases: dict[str, Case]


def names() -> list[str]:
    """The checkpoints that have golden values."""
    return sorted(path.stem for path in FOLDER.glob("*.npz"))


def load(name: str) -> Golden:
    """The golden values of one checkpoint; see `names`."""
    meta = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    texts = all_texts()
    with np.load(FOLDER / f"{name}.npz") as arrays:
        cases = {entry["name"]: read_case(entry, meta["labels"], texts, arrays) for entry in meta["cases"]}
    return Golden(name, meta["opened_by"], cases)


def read_case(entry: dict[str, Any], labels: list[str], texts: dict[str, str], arrays: Any) -> Case:
    """One call with its items, of which there are as many places as texts in an item."""
    key = entry["name"]
    places = arrays[f"{key}-items"].tolist()
    named = [labels[place[0]] if len(place) == 1 else tuple(labels[one] for one in place) for place in places]
    items = [texts[one] if isinstance(one, str) else tuple(texts[label] for label in one) for one in named]
    ends = np.cumsum(arrays[f"{key}-ids-lengths"], dtype=np.int64)
    ids = [row.tolist() for row in np.split(arrays[f"{key}-ids"], ends[:-1])]
    return Case(**entry, items=items, labels=named, ids=ids, results=unpack_vectors(arrays[key]))


def all_texts() -> dict[str, str]:
    """Every text by label: those of all golden files, and those of decoders alone."""
    more = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    return {**load_texts(), **more["more"]}
