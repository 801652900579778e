"""Read what FlagEmbedding's BGEM3FlagModel gave for the test texts. Needs numpy only.

golden = load("tiny-m3")
for case in golden.cases.values():
    results = getattr(BGEM3FlagModel(folder, **case.options), case.call)(case.texts, **case.arguments)
    case.dense, case.lexical, case.colbert   # multi-vectors of `case.with_colbert` alone
for case in golden.scores.values():
    BGEM3FlagModel(folder, **case.options).compute_score(case.pairs, **case.arguments)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.parity.golden import FOLDER as GOLDEN
from tests.parity.golden import STEP, Vectors, load_texts, pack_vectors, unpack_vectors

FOLDER = GOLDEN / "m3"
MODES = ("colbert", "sparse", "dense", "sparse+dense", "colbert+sparse+dense")
Weights = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One call of encode and its results, rounded to 1e-7."""

    name: str
    call: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    labels: list[str]
    texts: list[str]
    dense: Vectors
    lexical: list[Weights]
    with_colbert: list[int]
    colbert: list[Vectors]


@dataclass(frozen=True)
class Scores:
    """One call of compute_score: lists by mode."""

    name: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    labels: list[tuple[str, str]]
    pairs: list[tuple[str, str]]
    scores: dict[str, list[float]]


@dataclass(frozen=True)
class Golden:
    """Everything recorded for one model. Texts that are no reference are left out."""

    name: str
    cases: dict[str, Case]
    scores: dict[str, Scores]


def names() -> list[str]:
    """The models that have golden values."""
    return sorted(path.stem for path in FOLDER.glob("*.npz"))


def load(name: str) -> Golden:
    """The golden values of one model, such as `tiny-m3`; see `names`."""
    meta = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    texts, known = load_texts(), meta["labels"]
    cases, scores = {}, {}
    with np.load(FOLDER / f"{name}.npz") as arrays:
        for entry in meta["cases"]:
            key = entry["name"]
            labels = [known[place] for place in arrays[f"{key}-texts"].tolist()]
            cases[key] = Case(
                **entry,
                labels=labels,
                texts=[texts[label] for label in labels],
                dense=unpack_vectors(arrays[f"{key}-dense"]),
                lexical=unpack_weights(f"{key}-lexical", arrays),
                with_colbert=arrays[f"{key}-colbert-rows"].tolist(),
                colbert=unpack_rows(f"{key}-colbert", arrays),
            )
        for entry in meta["scores"]:
            key = entry["name"]
            pairs = [(known[one], known[other]) for one, other in arrays[f"scores-{key}-pairs"].tolist()]
            columns = unpack_vectors(arrays[f"scores-{key}"]).T.tolist()
            scores[key] = Scores(
                **entry,
                labels=pairs,
                pairs=[(texts[one], texts[other]) for one, other in pairs],
                scores=dict(zip(MODES, columns, strict=True)),
            )
    return Golden(name, cases, scores)


def pack_weights(name: str, weights: list[dict[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    """Lexical weights as flat ids and steps of 1e-7, and the number of each text's."""
    ids = [int(token) for one in weights for token in one]
    values = np.array([float(weight) for one in weights for weight in one.values()])
    return {
        f"{name}-lengths": np.array([len(one) for one in weights], dtype=np.uint32),
        f"{name}-ids": np.array(ids, dtype=np.uint16),
        f"{name}-weights": np.rint(values / STEP).astype(np.uint32),
    }


def unpack_weights(name: str, arrays: Any) -> list[Weights]:
    """What `pack_weights` was given, rounded to 1e-7."""
    ends = np.cumsum(arrays[f"{name}-lengths"], dtype=np.int64)[:-1]
    ids = np.split(arrays[f"{name}-ids"], ends)
    values = np.split(arrays[f"{name}-weights"] * STEP, ends)
    return [
        dict(zip(map(str, one.tolist()), weights.tolist(), strict=True))
        for one, weights in zip(ids, values, strict=True)
    ]


def pack_rows(name: str, matrices: list[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Matrices of one width below each other, and the number of each one's rows."""
    lengths = np.array([len(matrix) for matrix in matrices], dtype=np.uint32)
    return {f"{name}-lengths": lengths, name: pack_vectors(np.concatenate(matrices))}


def unpack_rows(name: str, arrays: Any) -> list[Vectors]:
    """What `pack_rows` was given, rounded to 1e-7."""
    ends = np.cumsum(arrays[f"{name}-lengths"], dtype=np.int64)[:-1]
    return list(np.split(unpack_vectors(arrays[name]), ends))
