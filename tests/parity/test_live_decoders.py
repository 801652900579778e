"""The decoder-only classes beside FlagEmbedding's own, in one process; each of its two environments runs those that it can.

Left out are texts of whose ids transformers 5 is no reference: it builds Llama's tokenizer anew. Unsorted cutoff layers
are among the calls only for the lightweight reranker: FlagEmbedding's layerwise one then takes other layers' heads.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bge_fast
from tests.parity.cases_decoders import RECORDED, chosen_pairs, chosen_texts, texts_by_label
from tests.parity.checkpoints import MODELS
from tests.parity.live import Note, noted
from tests.parity.record_decoders import OPTIONS, RUNS_LAYERS, is_rebuilt, open_model
from tests.parity.stored import StoredTokenizer
from tests.parity.threads import one_thread

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:(?s).*has no score after the layers"),
    pytest.mark.filterwarnings("ignore:Due to model constraints"),
]
TEXTS = texts_by_label()
BATCH_SIZES = (1, 7, 64)
VECTORS, SCORES = 1e-5, 1e-4
CASES = [
    (name, case.name)
    for name, recorded in RECORDED.items()
    for case in recorded.cases
    if recorded.layers == RUNS_LAYERS
]


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    yield from noted(request)


@functools.cache
def stored(name: str) -> StoredTokenizer:
    return StoredTokenizer(MODELS / name)


def items_of(name: str, case: Any, tokenizer: Any) -> list[Any]:
    """The texts or pairs of a case, spread evenly where they are many."""
    if name.startswith("decoder-reranker") or hasattr(case, "pairs"):
        kept = some(chosen_pairs()[case.pairs])
        if name == "decoder-reranker-llama":
            kept = [
                pair for pair in kept if not any(is_rebuilt(stored(name), tokenizer, TEXTS[label]) for label in pair)
            ]
        return [tuple(TEXTS[label] for label in pair) for pair in kept]
    return [TEXTS[label] for label in some(chosen_texts()[case.texts])]


def some(items: list[Any]) -> list[Any]:
    return items[:: max(1, len(items) // 70)]


@pytest.mark.parametrize(("name", "case_name"), CASES)
def test_every_number_is_that_of_flagembedding(name, case_name, note):
    opened_by, cases = RECORDED[name].opened_by, {case.name: case for case in RECORDED[name].cases}
    case = cases[case_name]
    theirs = open_model(MODELS / name, opened_by, case.options)
    ours = getattr(bge_fast, opened_by)(str(MODELS / name), **{**OPTIONS, **case.options})
    call = getattr(case, "call", "compute_score")
    items = items_of(name, case, theirs.tokenizer)
    tolerance = SCORES if call == "compute_score" else VECTORS
    # Scores of 64 × 2,000 × 2,000 tokens would take FlagEmbedding gigabytes.
    for batch_size in BATCH_SIZES[: 2 if case_name.endswith("2000") else 3]:
        arguments = {**case.arguments, "batch_size": batch_size}
        wanted = np.array(getattr(theirs, call)(items, **arguments))
        given = np.array(getattr(ours, call)(items, **arguments))
        assert given.shape == wanted.shape
        difference = float(np.abs(given - wanted).max())
        note(name, "checkpoint", case_name, f"{len(items)} by {batch_size}", difference)
        assert difference <= tolerance


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in CASES))
def test_many_are_compared(name):
    """Over all, at least 300 calls with texts from none to beyond every limit."""
    assert sum(3 * len(recorded.cases) for recorded in RECORDED.values()) >= 300
    lengths = [len(text) for text in TEXTS.values()]
    assert min(lengths) == 0
    assert max(lengths) >= 10_000
