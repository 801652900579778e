"""Checkpoints stored in other types than float32: the same numbers, and converted weights are in memory once."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel
from tests.support.checkpoints import checkpoint
from tests.support.malformed import (
    WEIGHTS,
    archive,
    read_safetensors,
    rebuilt,
    safetensors,
    state_dict,
    write_pickled,
)

MEASURE = """
import sys
from pathlib import Path
import numpy as np
from bge_fast import FlagModel

model = FlagModel(sys.argv[1], devices="cpu", threads=2)
vectors = [
    model.encode(["one text of some words"]),
    model.encode(["a text", "and a longer one, so that both are in one batch"]),
    model.encode([f"text number {number} " + "word " * (number % 60) for number in range(300)]),
]
status = Path("/proc/self/status").read_text()
np.save(sys.argv[2], np.concatenate(vectors))
print(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])
"""


def stored_as(source: Path, folder: Path, *kinds: str) -> Path:
    """A copy with its numbers rounded to each of these types in turn, and stored in the last."""
    copy = shutil.copytree(source, folder / "-".join(kinds))
    (copy / WEIGHTS).chmod(0o644)
    tensors = read_safetensors(source / WEIGHTS)
    for kind in kinds:
        tensors = {name: one.astype(kind) for name, one in tensors.items()}
    (copy / WEIGHTS).write_bytes(safetensors(tensors))
    return copy


def measured(folder: Path, out: Path) -> tuple[int, np.ndarray]:
    """Private memory in kB after the third form of the graph was opened, and vectors from all three."""
    run = subprocess.run([sys.executable, "-c", MEASURE, str(folder), str(out)], capture_output=True, check=True)
    return int(run.stdout), np.load(out)


@pytest.mark.slow
def test_converted_weights_are_in_private_memory_once(tmp_path):
    source = checkpoint("bge-small-en-v1.5")
    whole, expected = measured(source, tmp_path / "float32.npy")
    half, vectors = measured(stored_as(source, tmp_path, "float16"), tmp_path / "float16.npy")
    # All numbers of this checkpoint are float16 numbers too.
    assert np.array_equal(vectors, expected)
    assert half <= 1.1 * whole, (half, whole)


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-xlmr", "tiny-distilbert", "tiny-electra", "tiny-mpnet"])
@pytest.mark.parametrize("kind", ["float64", "float16"])
@pytest.mark.parametrize("low_memory", [False, True])
def test_numbers_are_those_of_the_same_weights_in_float32(tmp_path, name, kind, low_memory):
    stored, float32 = (stored_as(checkpoint(name), tmp_path, *kinds) for kinds in ((kind,), (kind, "float32")))
    texts = ["one text", "another one", *(f"text number {number}" for number in range(200))]
    ours, theirs = (FlagModel(str(one), low_memory=low_memory).encode(texts) for one in (stored, float32))
    assert np.abs(ours - theirs).max() <= 1e-6


def test_old_names_of_layer_norm(own_checkpoint, tiny_bert):
    tensors = read_safetensors(own_checkpoint / WEIGHTS)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): one
        for name, one in tensors.items()
    }
    assert old.keys() != tensors.keys()
    (own_checkpoint / WEIGHTS).write_bytes(safetensors(old))
    texts = ["one text", "another and longer text"]
    assert np.array_equal(FlagModel(str(own_checkpoint)).encode(texts), FlagModel(str(tiny_bert)).encode(texts))


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-electra", "tiny-mpnet"])
@pytest.mark.parametrize("low_memory", [False, True])
def test_tensors_that_lie_column_by_column(tmp_path, name, low_memory):
    """As torch keeps what was transposed or taken out of a larger tensor: matrices, tables and biases."""
    folder = shutil.copytree(checkpoint(name), tmp_path / "columns")
    items, storages = {}, {}
    for place, (key, one) in enumerate(read_safetensors(folder / WEIGHTS).items()):
        apart = np.repeat(one, 2) if one.ndim == 1 else one.T
        items[key] = rebuilt(str(place), one.shape, count=apart.size, strides=(1, len(one)) if one.ndim == 2 else (2,))
        storages[str(place)] = apart.tobytes()
    write_pickled(folder, archive(state_dict(items), storages))
    texts = ["one text", "another and longer text", *(f"text number {number}" for number in range(200))]
    ours = FlagModel(str(folder), low_memory=low_memory).encode(texts)
    assert np.abs(ours - FlagModel(str(checkpoint(name))).encode(texts)).max() <= 1e-6
