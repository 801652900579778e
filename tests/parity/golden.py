"""Read what FlagEmbedding gave for the test texts: token ids and vectors. Needs numpy only.

golden = load("tiny-bert")
golden.ids["sentence-en-1"]              # as FlagEmbedding's tokenizer gives them, cut to 512
for case in golden.cases.values():       # how to call the model, with which texts, and the result
    model = FlagModel(folder, use_fp16=False, devices="cpu", **case.options)
    vectors = getattr(model, case.call)(case.texts, **case.arguments)
    case.largest_difference(vectors)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DATA = Path(__file__).resolve().parent.parent / "data"
FOLDER = DATA / "golden"
STEP = 1e-7
FULL_LENGTH = 512

Ids = list[int]
Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One call of FlagEmbedding and its vectors, rounded to 1e-7."""

    name: str
    call: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    labels: list[str]
    texts: list[str]
    vectors: Vectors
    exempt: dict[str, str]

    def largest_difference(self, vectors: npt.ArrayLike) -> float:
        """The largest absolute difference over all texts that are not exempt."""
        kept = np.array([label not in self.exempt for label in self.labels])
        difference = np.abs(np.asarray(vectors, dtype=np.float64) - self.vectors)[kept]
        return float("inf") if np.isnan(difference).any() else float(difference.max())


@dataclass(frozen=True)
class Golden:
    """Everything recorded for one model, by text label."""

    name: str
    texts: dict[str, str]
    full_ids: dict[str, Ids]
    short_ids: dict[int, dict[str, Ids]]
    cases: dict[str, Case]
    exempt: dict[str, str]
    stored_ids: dict[str, Ids]

    @property
    def ids(self) -> dict[str, Ids]:
        """FlagEmbedding's ids, special tokens included, cut to 512."""
        return {label: cut(ids, FULL_LENGTH) for label, ids in self.full_ids.items()}

    @property
    def expected_ids(self) -> dict[str, Ids]:
        """The ids a drop-in must give, uncut: FlagEmbedding's, or the stored tokenizer's for exempt texts."""
        return {**self.full_ids, **self.stored_ids}


def load(name: str) -> Golden:
    """The golden values of one model, such as `tiny-bert`; see `names`."""
    meta = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    exemptions = json.loads((FOLDER / "exemptions.json").read_text(encoding="utf-8"))
    all_texts = load_texts()
    labels = meta["labels"]
    texts = {label: all_texts[label] for label in labels["all"]}
    exempt = exemptions["texts"].get(name, {})
    with np.load(FOLDER / f"{name}.npz") as arrays:
        cases = {}
        for entry in meta["cases"]:
            case_labels = labels[entry["texts"]]
            cases[entry["name"]] = Case(
                name=entry["name"],
                call=entry["call"],
                options=entry["options"],
                arguments=entry["arguments"],
                labels=case_labels,
                texts=[texts[label] for label in case_labels],
                vectors=unpack_vectors(arrays[f"vectors-{entry['name']}"]),
                exempt=exemptions["cases"].get(name, {}).get(entry["name"], exempt),
            )
        return Golden(
            name=name,
            texts=texts,
            full_ids=read_ids(arrays, "ids", labels["all"]),
            short_ids={length: read_ids(arrays, f"ids-{length}", labels["some"]) for length in meta["lengths"]},
            cases=cases,
            exempt=exempt,
            stored_ids=read_ids(arrays, "ids-stored", list(exempt)),
        )


def names() -> list[str]:
    """The models that have golden values."""
    return sorted(path.stem for path in FOLDER.glob("*.npz"))


def load_texts() -> dict[str, str]:
    """All test texts by label, in file order."""
    entries = json.loads((DATA / "texts.json").read_text(encoding="ascii"))
    return {entry["label"]: entry["text"] * entry.get("times", 1) for entry in entries}


def cut(ids: Ids, max_length: int) -> Ids:
    """Ids of a single text cut on the right: the first tokens, then the closing special token."""
    return ids if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]


def pack_vectors(vectors: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Steps of 1e-7 as four planes of bytes, since the high planes compress well and mixed bytes do not."""
    steps = np.ascontiguousarray(np.rint(np.asarray(vectors, dtype=np.float64) / STEP).astype("<i4"))
    return np.ascontiguousarray(np.moveaxis(steps.view(np.uint8).reshape(*steps.shape, 4), -1, 0))


def unpack_vectors(planes: npt.NDArray[np.uint8]) -> Vectors:
    """What `pack_vectors` was given, rounded to 1e-7."""
    steps = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view("<i4")[..., 0]
    return np.asarray(steps * STEP, dtype=np.float64)


def pack_ids(name: str, rows: list[Ids]) -> dict[str, npt.NDArray[Any]]:
    """Rows of ids as one flat array and the length of each row."""
    flat = np.array([token for row in rows for token in row], dtype=np.int64)
    smallest = np.uint16 if flat.max(initial=0) < 2**16 else np.uint32
    return {
        name: flat.astype(smallest),
        f"{name}-lengths": np.array([len(row) for row in rows], dtype=np.uint32),
    }


def read_ids(arrays: Any, name: str, labels: list[str]) -> dict[str, Ids]:
    """The rows that `pack_ids` wrote, by label."""
    ends = np.cumsum(arrays[f"{name}-lengths"], dtype=np.int64)
    rows = np.split(arrays[name], ends[:-1]) if labels else []
    return {label: row.tolist() for label, row in zip(labels, rows, strict=True)}
