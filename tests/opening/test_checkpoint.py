"""A checkpoint opened as it is gives its export's numbers, in every form of its graph, and leaves no trace."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bge_fast import FlagModel, _core
from bge_fast.errors import ModelFormatError, ModelNotFoundError
from bge_fast.opening.checkpoint import graph_sizes
from tests.support.checkpoints import SOURCES, checkpoint, edit_json
from tests.support.malformed import (
    WEIGHTS,
    WORDS,
    change_tensors,
    pickled,
    read_safetensors,
    safetensors,
    turn_into_shards,
)

LINES = "wing in slipstream flow boundary layer heat transfer 机翼 Flügel données тело".split()
SINGLE = ["a wing"]
PADDED = [" ".join(LINES[:count]) for count in range(11)]
EQUAL = ["heat transfer flow"] * 9
LONG = ["wing flow " * count for count in (5, 250, 260, 3000)]
# More than 32 batches of two, padded ones among them, which is what opens the sessions for bulk work.
BULK = PADDED * 7
MANY_LONG = ["boundary layer " * (200 + count % 3) for count in range(36)] + BULK
CALLS = {"single": SINGLE, "padded": PADDED, "equal": EQUAL, "long": LONG, "bulk": BULK}


def opened(folder: Path, **options: object) -> FlagModel:
    return FlagModel(str(folder), batch_size=2, **options)


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one - other).max())


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.exported
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", ["tiny-bert", "tiny-xlmr"])
def test_every_kind_of_call_gives_the_exports_numbers(name, pooling):
    ours, exported = (opened(SOURCES[source](name), pooling_method=pooling) for source in SOURCES)
    for kind, texts in CALLS.items():
        assert largest_difference(ours.encode(texts), exported.encode(texts)) <= 2e-6, kind
    many = (model.encode(MANY_LONG, batch_size=256) for model in (ours, exported))
    assert largest_difference(*many) <= 2e-6
    assert largest_difference(ours.encode(PADDED), np.stack([exported.encode(text) for text in PADDED])) <= 2e-6


def test_the_pooling_method_is_live(tiny_bert):
    model, means = opened(tiny_bert), opened(tiny_bert, pooling_method="mean")
    for texts in (SINGLE, PADDED, BULK):
        model.pooling_method = "cls"
        rows = model.encode(texts)
        model.pooling_method = "mean"
        assert largest_difference(model.encode(texts), means.encode(texts)) <= 1e-6
        assert largest_difference(model.encode(texts), rows) > 1e-2
    means.pooling_method = "cls"
    assert largest_difference(means.encode(BULK), rows) <= 1e-6


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", ["tiny-bert", "tiny-xlmr"])
def test_low_memory_gives_the_same_numbers(name, pooling):
    usual, low = (opened(checkpoint(name), pooling_method=pooling, low_memory=on) for on in (False, True))
    assert (usual.info()["low_memory"], low.info()["low_memory"]) == (False, True)
    for kind, texts in CALLS.items():
        assert largest_difference(low.encode(texts), usual.encode(texts)) <= 1e-6, kind


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("texts", [PADDED, BULK], ids=["padded", "bulk"])
def test_16_first_calls_at_once(tiny_bert, pooling, texts):
    """Each form of the graph opens when a call first needs it."""
    model = opened(tiny_bert)
    wanted = opened(tiny_bert, pooling_method=pooling)
    model.pooling_method = pooling
    parts = [texts[thread % 2 * 5 :] for thread in range(16)]
    serial = [wanted.encode(part) for part in parts[:2]]
    together = threading.Barrier(16)

    def call(thread: int) -> float:
        together.wait()
        return largest_difference(model.encode(parts[thread]), serial[thread % 2])

    with ThreadPoolExecutor(16) as pool:
        assert max(pool.map(call, range(16))) <= 1e-6


def narrowed(kind: str) -> tuple[dict, dict]:
    """Tiny BERT's tensors rounded to a type of 16 bits, as stored and as float32."""
    tensors = read_safetensors(checkpoint("tiny-bert") / WEIGHTS)
    if kind == "float16":
        stored = {key: one.astype(np.float16) for key, one in tensors.items()}
        return stored, {key: one.astype(np.float32) for key, one in stored.items()}
    upper = {key: (one.view(np.uint32) >> 16).astype(np.uint16) for key, one in tensors.items()}
    return upper, {key: (one.astype(np.uint32) << 16).view(np.float32) for key, one in upper.items()}


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("write", [safetensors, pickled])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_weights_stored_in_16_bits(own_checkpoint, tmp_path, kind, write, low_memory):
    stored, widened = narrowed(kind)
    (own_checkpoint / WEIGHTS).write_bytes(write(stored))
    wide = shutil.copytree(own_checkpoint, tmp_path / "wide")
    (wide / WEIGHTS).write_bytes(write(widened))
    narrow = opened(own_checkpoint, low_memory=low_memory)
    wide = opened(wide)
    for texts in (PADDED, BULK):
        assert largest_difference(narrow.encode(texts), wide.encode(texts)) <= 1e-6


@pytest.mark.parametrize(("name", "prefix"), [("tiny-bert", "bert."), ("tiny-xlmr", "roberta.")])
def test_tensors_of_a_model_with_a_head(tmp_path, name, prefix):
    plain = checkpoint(name)
    inside = shutil.copytree(plain, tmp_path / "inside")

    def rename(tensors: dict) -> None:
        stored = {f"{prefix}{key}": one for key, one in tensors.items()}
        tensors.clear()
        ids = np.arange(512, dtype=np.int64)
        tensors.update({f"{prefix}embeddings.position_ids": ids, **stored, "classifier.weight": np.zeros((2, 32))})

    change_tensors(inside, rename)
    assert largest_difference(opened(inside).encode(PADDED), opened(plain).encode(PADDED)) <= 1e-6


def test_tensors_that_are_not_aligned(own_checkpoint, bert):
    raw = (own_checkpoint / WEIGHTS).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    for spaces in (1, 2, 3):
        header = raw[8 : 8 + size].rstrip() + b" " * spaces
        (own_checkpoint / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + size :])
        assert largest_difference(opened(own_checkpoint).encode(BULK), bert.encode(BULK)) <= 1e-6


def test_ids_beyond_the_word_table_are_named(own_checkpoint, bert):
    change_tensors(own_checkpoint, lambda tensors: tensors.update({WORDS: tensors[WORDS][:2000]}))
    edit_json(own_checkpoint / "config.json", vocab_size=2000)
    model = opened(own_checkpoint)
    tokens = [bert.tokenizer.convert_ids_to_tokens(place) for place in range(1000, 3000)]
    low, high = (
        next(token for token in some if token.isascii() and token.isalpha()) for some in (tokens, tokens[1000:])
    )
    place = bert.tokenizer.convert_tokens_to_ids(high)
    for texts in ([low, high], [low] + [high] * 5000):
        with pytest.raises(
            ModelFormatError, match=rf"texts\[1\] has the token id {place} .* 2000 rows.*tokenizer\.json"
        ):
            model.encode(texts)
    assert np.array_equal(model.encode(low), bert.encode(low))


# ── what becomes of the files ─────────────────────────────────────────────────────────────────────────────────────────


def replaced(folder: Path) -> None:
    """Another model of the same shapes takes the place of the weights, as a download does it."""
    tensors = read_safetensors(folder / WEIGHTS)
    (folder / "new").write_bytes(safetensors({key: one[::-1] * 2 for key, one in tensors.items()}))
    (folder / "new").replace(folder / WEIGHTS)


@pytest.mark.parametrize("change", [replaced, shutil.rmtree], ids=["replaced", "deleted"])
def test_a_model_whose_files_are_gone_goes_on(own_checkpoint, bert, change):
    model = opened(own_checkpoint)
    change(own_checkpoint)
    for kind, texts in CALLS.items():
        assert largest_difference(model.encode(texts), bert.encode(texts)) <= 1e-6, kind
    model.pooling_method = "mean"
    for texts in (SINGLE, PADDED, BULK):
        with pytest.raises(ModelFormatError, match="files were replaced or deleted.*Open the model again"):
            model.encode(texts)
    model.pooling_method = "cls"
    assert np.array_equal(model.encode(SINGLE), bert.encode(SINGLE))
    assert model.info()["source"] == "checkpoint"


def test_what_was_opened_before_the_files_went_stays_in_use(own_checkpoint, bert, tiny_bert):
    model, means = opened(own_checkpoint), opened(tiny_bert, pooling_method="mean")
    model.encode(BULK)
    model.pooling_method = "mean"
    model.encode(PADDED)
    shutil.rmtree(own_checkpoint)
    assert largest_difference(model.encode(PADDED), means.encode(PADDED)) <= 1e-6
    model.pooling_method = "cls"
    assert largest_difference(model.encode(BULK), bert.encode(BULK)) <= 1e-6


def test_a_long_text_after_the_files_went_takes_the_form_that_is_open(own_checkpoint):
    tensors = read_safetensors(own_checkpoint / WEIGHTS)
    positions = next(key for key in tensors if key.endswith("position_embeddings.weight"))
    tensors[positions] = np.vstack([tensors[positions]] * 8)
    (own_checkpoint / WEIGHTS).write_bytes(safetensors(tensors))
    edit_json(own_checkpoint / "config.json", max_position_embeddings=len(tensors[positions]))
    edit_json(own_checkpoint / "tokenizer_config.json", model_max_length=len(tensors[positions]))
    long = ["bees dance " * 1500]
    reads_files, goes_on = (opened(own_checkpoint, passage_max_length=4096) for _ in range(2))
    assert len(goes_on.tokenizer(long[0], max_length=4096)["input_ids"]) >= 2048
    expected = reads_files.encode(long)
    shutil.rmtree(own_checkpoint)
    assert np.array_equal(goes_on.encode(long), expected)


def test_a_pickled_model_looks_at_the_files_again(own_checkpoint):
    model = opened(own_checkpoint)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).encode(SINGLE), model.encode(SINGLE))
    stored = pickle.dumps(model)
    (own_checkpoint / WEIGHTS).unlink()
    with pytest.raises(ModelNotFoundError, match="neither weights"):
        pickle.loads(stored).encode(SINGLE)


USE = """
import resource, signal, sys
from bge_fast import FlagModel
# Who writes to a file now is killed.
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for low_memory in (False, True):
    for folder in sys.argv[1:]:
        model = FlagModel(folder, low_memory=low_memory)
        model.encode("a wing")
        model.encode(["wing " * (count % 50) for count in range(4000)])
        model.pooling_method = "mean"
        model.encode(["a", "wing in flow"])
"""


def test_nothing_is_written_anywhere(own_checkpoint, tmp_path):
    shards = shutil.copytree(own_checkpoint, tmp_path / "shards")
    turn_into_shards(shards)
    places = {name: tmp_path / name for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "TMPDIR", "HF_HOME")}
    for place in places.values():
        place.mkdir()
    (tmp_path / "cwd").mkdir()

    def listing() -> dict[str, tuple[int, ...]]:
        facts = {str(path): path.lstat() for path in [tmp_path, *tmp_path.rglob("*")]}
        return {path: (fact.st_ino, fact.st_size, fact.st_mtime_ns, fact.st_mode) for path, fact in facts.items()}

    before = listing()
    done = subprocess.run(
        [sys.executable, "-c", USE, str(own_checkpoint), str(shards)],
        cwd=tmp_path / "cwd",
        env={**os.environ, **{name: str(place) for name, place in places.items()}},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert listing() == before


def test_long_texts_give_the_same_bits_in_halves(tiny_xlmr):
    """Of a text this long no tiny model has positions, so both forms of the graph are run as they are."""
    config = json.loads((tiny_xlmr / "config.json").read_text())
    checkpoint = _core.Checkpoint([str(tiny_xlmr / WEIGHTS)], graph_sizes("tiny", config))
    ids = np.random.default_rng(0).integers(5, 900, (1, 101))
    inputs = {"input_ids": ids, "position_ids": np.arange(2, 103)[None]}
    for outputs in ("cls", "hidden_states"):
        whole, halves = (_run(*checkpoint.graph([outputs], layout), inputs) for layout in ("plain", "halved"))
        assert np.array_equal(whole, halves)


def _run(graph: bytes, folder: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(graph, options).run(None, inputs)[0]
