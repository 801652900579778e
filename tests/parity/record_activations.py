"""Record golden vectors of other activations; called by `record.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from FlagEmbedding import FlagModel

from tests.parity.activations import FOLDER, NAMES, texts, with_activation
from tests.parity.golden import pack_vectors


def record_activations(name: str) -> int:
    """Write `<name>.npz`; returns its bytes."""
    arrays = {}
    with tempfile.TemporaryDirectory() as made:
        for activation in NAMES:
            model = FlagModel(str(with_activation(name, activation, Path(made))), use_fp16=False, devices="cpu")
            arrays[activation] = pack_vectors(model.encode(texts()))
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    return (FOLDER / f"{name}.npz").stat().st_size
