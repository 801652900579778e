"""Read the scores that FlagEmbedding's torch model gave for pairs assembled on ids. Needs numpy only.

golden = load("tiny-reranker")
for case in golden.values():
    FlagReranker(folder, **case.options).compute_score(case.pairs, **case.arguments)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.parity.golden import FOLDER as GOLDEN
from tests.parity.golden import Vectors, load_texts, unpack_vectors

FOLDER = GOLDEN / "reranker"


@dataclass(frozen=True)
class Case:
    """One call of compute_score; scores are rounded to 1e-7. Pairs that are no reference are left out."""

    name: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    labels: list[tuple[str, str]]
    pairs: list[tuple[str, str]]
    scores: Vectors


def names() -> list[str]:
    """The models that have golden values."""
    return sorted(path.stem for path in FOLDER.glob("*.npz"))


def load(name: str) -> dict[str, Case]:
    """The calls of one model by name; see `names`."""
    meta = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    texts, known = load_texts(), meta["labels"]
    cases = {}
    with np.load(FOLDER / f"{name}.npz") as arrays:
        for entry in meta["cases"]:
            key = entry["name"]
            pairs = [(known[one], known[other]) for one, other in arrays[f"{key}-pairs"].tolist()]
            cases[key] = Case(
                **entry,
                labels=pairs,
                pairs=[(texts[one], texts[other]) for one, other in pairs],
                scores=unpack_vectors(arrays[key]),
            )
    return cases
