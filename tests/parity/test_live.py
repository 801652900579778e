"""bge-fast beside FlagEmbedding in one process: every id and every number of every vector.

Needs both installed and fails at import if one is missing; only models that are absent are skipped.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from FlagEmbedding import FlagModel as ReferenceModel

from bge_fast import FlagModel
from tests.parity.activations import KEYS, NAMES, texts, with_activation
from tests.parity.cases import CASES, RELATIVES, CaseCall
from tests.parity.checkpoints import MODELS, ROOT, find_checkpoint
from tests.parity.golden import Golden, load
from tests.support.checkpoints import edit_json

TOLERANCE = 1e-5
GOLDEN_TOLERANCE = 2e-6  # recorded on another CPU
EXPORTED = Path(os.environ.get("BGE_FAST_MODELS", ROOT / "build" / "models"))
SOURCES = ("checkpoint", "exported")
Rows = list[tuple[str, str, str, float]]
Matrix = npt.NDArray[np.float32]
OPTIONS: dict[str, Any] = {"use_fp16": False, "devices": "cpu", "batch_size": 16}
CALLS = [pytest.param(name, case, id=f"{name}-{case.name}") for name, cases in CASES.items() for case in cases]


@pytest.fixture(scope="module")
def differences(request: pytest.FixtureRequest) -> Iterator[Rows]:
    """Collects the largest differences and prints them when all models have run."""
    rows: Rows = []
    yield rows
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    terminal.write_line("\n\nlargest difference from FlagEmbedding")
    for name, source, case, difference in rows:
        terminal.write_line(f"{name:20} {source:12} {case:28} {difference:.2e}")


@pytest.mark.parametrize(("name", "case"), CALLS)
def test_golden_vectors_are_what_flagembedding_gives(name: str, case: CaseCall) -> None:
    recorded = golden_values(name).cases[case.name]
    assert recorded.largest_difference(reference_vectors(name, case.name)) <= GOLDEN_TOLERANCE


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("name", "case"), CALLS)
def test_vectors(name: str, case: CaseCall, source: str, differences: Rows) -> None:
    recorded = golden_values(name).cases[case.name]
    ours = FlagModel(str(model_folder(name, source)), **OPTIONS, **case.options)
    vectors = getattr(ours, case.call)(recorded.texts, **case.arguments)
    reference = reference_vectors(name, case.name)
    assert vectors.dtype == np.float32
    assert vectors.shape == reference.shape
    error = relative_difference(vectors, reference)
    kept = np.array([label not in recorded.exempt for label in recorded.labels])
    differences.append((name, source, case.name, float(error[kept].max())))
    wrong = [label for label, ok in zip(recorded.labels, error <= TOLERANCE, strict=True) if not ok]
    assert [label for label in wrong if label not in recorded.exempt] == []


@pytest.mark.filterwarnings("ignore:.*was trained with mean pooling")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CASES)
def test_token_ids(name: str, source: str) -> None:
    golden = golden_values(name)
    theirs = ReferenceModel(str(checkpoint(name)), **OPTIONS).tokenizer
    ours = FlagModel(str(model_folder(name, source)), **OPTIONS).tokenizer
    wrong = []
    for label, text in golden.texts.items():
        expected = theirs(text, verbose=False)["input_ids"]
        assert expected == golden.full_ids[label], f"{label}: recorded ids are out of date"
        if golden.exempt.get(label) == "newer-punctuation":
            continue
        if ours(text)["input_ids"] != golden.expected_ids[label]:
            wrong.append(label)
    assert wrong == []


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("name", KEYS)
def test_activations(name: str, activation: str, tmp_path: Path, differences: Rows) -> None:
    folder = with_activation(name, activation, tmp_path)
    compare(folder, f"{name}, {activation}", texts(), differences)


@pytest.mark.parametrize("name", RELATIVES)
def test_encoders_inside_of_a_model_with_a_head(name: str, tmp_path: Path, differences: Rows) -> None:
    folder = shutil.copytree(MODELS / f"tiny-reranker-{name}", tmp_path / name)
    edit_json(folder / "config.json", architectures=["AnotherHead"])
    compare(folder, f"{name}, with a head", texts(), differences)


def compare(folder: Path, case: str, texts: list[str], differences: Rows) -> None:
    """Encode with both from one folder."""
    ours, theirs = FlagModel(str(folder), **OPTIONS), ReferenceModel(str(folder), **OPTIONS)
    error = relative_difference(ours.encode(texts), np.asarray(theirs.encode(texts)))
    differences.append((folder.name, "checkpoint", case, float(error.max())))
    assert error.max() <= TOLERANCE


def relative_difference(vectors: Matrix, reference: Matrix) -> npt.NDArray[Any]:
    """Per text: the largest difference of a component, as a share of the norm where that is above one."""
    norms = np.maximum(np.linalg.norm(reference, axis=1), 1.0)
    return np.asarray(np.abs(vectors.astype(np.float64) - reference).max(axis=1) / norms)


@functools.cache
def golden_values(name: str) -> Golden:
    """The recorded values, read once."""
    return load(name)


@functools.cache
def reference_vectors(name: str, case_name: str) -> Matrix:
    """FlagEmbedding's vectors, computed now and kept for both sources."""
    case = golden_values(name).cases[case_name]
    model = ReferenceModel(str(checkpoint(name)), **OPTIONS, **case.options)
    return np.asarray(getattr(model, case.call)(case.texts, **case.arguments))


def checkpoint(name: str) -> Path:
    """The checkpoint's folder; skips the test where the model is absent."""
    folder = find_checkpoint(name)
    if folder is None:
        pytest.skip(f"checkpoint {name} is absent")
    return folder


def model_folder(name: str, source: str) -> Path:
    """What bge-fast opens: the checkpoint as it is, or its export."""
    folder = checkpoint(name)
    if source == "exported":
        folder = EXPORTED / name
        if not folder.is_dir():
            pytest.skip(f"no exported model at {folder}")
    return folder
