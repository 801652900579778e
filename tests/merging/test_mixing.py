"""Mixed models: sums bit by bit as LM_Cocktail's, in the first model's types and shards; what does not mix is named."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bge_fast
from bge_fast import BGEM3FlagModel, FlagLLMModel, FlagModel, _core, mix_models
from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.merging import tensors as blocks
from tests.fixtures.stored_tensors import as_stored, write_shards
from tests.support.checkpoints import checkpoint, edit_json
from tests.support.malformed import (
    QUERY,
    WEIGHTS,
    WORDS,
    change_tensors,
    read_safetensors,
    safetensors,
    split,
    turn_into_pickled,
    turn_into_shards,
)

TEXTS = ["a wing in a slipstream", "heat transfer", ""]
FACTORS = (0.7, 0.2, 0.1)
MAIN = (WEIGHTS, "pytorch_model.bin")


def stored(folder: Path) -> dict[str, np.ndarray]:
    return _core.read_tensors([str(next(folder / one for one in MAIN if (folder / one).is_file()))])


def family(folder: Path, name: str) -> list[Path]:
    """Three models of one architecture: a checkpoint, and two with other numbers."""
    made = []
    for place in range(len(FACTORS)):
        made.append(shutil.copytree(checkpoint(name), folder / f"model-{place}"))
        if place:
            changed = {key: np.roll(one, place) * np.float32(1 + place / 7) for key, one in stored(made[-1]).items()}
            for old in MAIN:
                (made[-1] / old).unlink(missing_ok=True)
            (made[-1] / WEIGHTS).write_bytes(safetensors(changed))
    return made


def summed(models: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """As LM_Cocktail's `merge_param` adds: from left to right, products rounded to float32."""
    total = {}
    for name, tensor in models[0].items():
        total[name] = np.float32(FACTORS[0]) * tensor
        for factor, other in zip(FACTORS[1:], models[1:], strict=True):
            total[name] = total[name] + np.float32(factor) * other[name]
    return total


def mixed(models: list[Path], out: Path, weights: tuple[float, ...] = FACTORS) -> Path:
    assert mix_models([str(one) for one in models], weights=weights, output_path=str(out)) == str(out)
    return out


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-m3", "tiny-distilbert", "tiny-reranker", "decoder-gemma2"])
def test_every_tensor_is_the_sum(tmp_path, name):
    models = family(tmp_path, name)
    out = mixed(models, tmp_path / "out")
    kinds = {facts["dtype"] for key, facts in split((out / WEIGHTS).read_bytes())[0].items() if key != "__metadata__"}
    wanted, found = summed([stored(one) for one in models]), stored(out)
    assert found.keys() == wanted.keys()
    if kinds == {"F32"}:
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
    for key in wanted:
        assert np.allclose(found[key], wanted[key], atol=1e-8, rtol=0 if kinds == {"F32"} else 2**-8)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_types_are_kept_and_the_sum_is_rounded_once(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 100)
    models = family(tmp_path, "tiny-bert")
    for model in models:
        write_shards(model, stored(model), kind, 1)
    out = mixed(models, tmp_path / "out")
    header, data = split((out / WEIGHTS).read_bytes())
    for name, wanted in summed([stored(one) for one in models]).items():
        start, end = header[name]["data_offsets"]
        assert header[name]["dtype"] == kind
        assert data[start:end] == as_stored(wanted, kind)


def test_models_may_be_stored_in_different_ways(tmp_path):
    models = family(tmp_path, "tiny-bert")
    wanted = summed([stored(one) for one in models])
    turn_into_pickled(models[0])
    turn_into_shards(models[1])
    change_tensors(models[2], lambda one: [one.update({f"bert.{key}": one.pop(key)}) for key in list(one)])
    found = read_safetensors(mixed(models, tmp_path / "out") / WEIGHTS)
    assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()


def test_shards_are_those_of_the_first_model(tmp_path):
    models = family(tmp_path, "tiny-bert")
    whole = mixed(models, tmp_path / "whole")
    files = [file.name for file in turn_into_shards(models[0])]
    out = mixed(models, tmp_path / "out")
    assert sorted(file.name for file in out.glob("*.safetensors")) == files
    table = json.loads((out / f"{WEIGHTS}.index.json").read_text())["weight_map"]
    assert all(name in read_safetensors(out / file) for name, file in table.items())
    assert np.array_equal(FlagModel(str(out)).encode(TEXTS), FlagModel(str(whole)).encode(TEXTS))


def test_tensors_that_do_not_lie_row_by_row(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 100)
    models = family(tmp_path, "tiny-bert")
    wanted = summed([stored(one) for one in models])

    def turn(items: dict[str, bytes]) -> None:
        from tests.support.malformed import rebuilt

        place = list(items).index(QUERY)
        items[QUERY] = rebuilt(str(place), (32, 32), strides=(1, 32))

    change_tensors(models[0], lambda one: one.update({QUERY: np.ascontiguousarray(one[QUERY].T)}))
    turn_into_pickled(models[0], turn)
    found = read_safetensors(mixed(models, tmp_path / "out") / WEIGHTS)
    assert np.array_equal(found[QUERY], wanted[QUERY])


def test_heads_of_m3_are_mixed_too(tmp_path):
    models = family(tmp_path, "tiny-m3")
    heads = {
        file: summed([_core.read_tensors([str(one / file)]) for one in models])
        for file in ("sparse_linear.pt", "colbert_linear.pt")
    }
    out = mixed(models, tmp_path / "out")
    for file, wanted in heads.items():
        found = _core.read_tensors([str(out / file)])
        assert all(np.allclose(found[key], wanted[key], rtol=2**-10) for key in wanted)
    result = BGEM3FlagModel(str(out)).encode(TEXTS[:1], return_sparse=True, return_colbert_vecs=True)
    assert result["lexical_weights"][0]


def test_configuration_and_tokenizer_come_from_the_first(tmp_path):
    models = family(tmp_path, "tiny-bert")
    (models[0] / "LICENSE").write_text("MIT")
    (models[0] / "trainer_state.json").write_text("{}")
    (models[0] / "optimizer.pt").write_bytes(b"x")
    (models[0] / "checkpoint-3").mkdir()
    (models[0] / "checkpoint-3" / "config.json").write_text("{}")
    out = mixed(models, tmp_path / "out")
    there = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    wanted = {str(file.relative_to(models[1])) for file in models[1].rglob("*") if file.is_file()}
    assert there == wanted | {"LICENSE"}
    assert all((out / one).read_bytes() == (models[0] / one).read_bytes() for one in there - {WEIGHTS})
    assert out.stat().st_mode & 0o777 == models[0].stat().st_mode & 0o777


def test_decoders_and_the_other_names(tmp_path):
    folder = str(checkpoint("decoder-qwen3"))
    out = bge_fast.mix_models_by_layers([folder] * 2, "decoder", [0.5, 0.5], tmp_path / "out")
    assert np.allclose(FlagLLMModel(out).encode(TEXTS), FlagLLMModel(folder).encode(TEXTS), atol=1e-6)


def test_whole_numbers_are_the_last_models(tmp_path):
    models = family(tmp_path, "tiny-bert")
    for place, model in enumerate(models[:2]):
        numbers = np.arange(place, place + 4, dtype=np.int64)
        tensors = {**stored(model), "embeddings.position_ids": numbers}
        (model / WEIGHTS).write_bytes(safetensors(tensors))
    out = mixed(models, tmp_path / "out")
    header, data = split((out / WEIGHTS).read_bytes())
    start, end = header["embeddings.position_ids"]["data_offsets"]
    assert np.frombuffer(data[start:end], np.int64).tolist() == [1, 2, 3, 4], "model 2 does not have them"


@pytest.mark.filterwarnings("ignore:pooler")
def test_a_pooler_that_one_does_not_have_is_left_out(tmp_path):
    models = family(tmp_path, "tiny-bert")
    extra = {"pooler.dense.weight": np.ones((32, 32), np.float32)}
    change_tensors(models[0], lambda one: one.update(extra))
    change_tensors(models[1], lambda one: [one.pop(key) for key in list(one) if key.startswith("pooler.")])
    with pytest.warns(UserWarning, match=r"pooler\.dense\.weight is left out: .*model-1"):
        out = mixed(models, tmp_path / "out")
    assert not any(key.startswith("pooler.") for key in read_safetensors(out / WEIGHTS))


def spoil_vocabulary(folder: Path) -> None:
    written = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = written["model"]["vocab"]
    first, second = list(vocabulary)[100:102]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(written))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_vocabulary, "different vocabularies: id 100 is"),
        (lambda folder: edit_json(folder / "config.json", num_attention_heads=2), "num_attention_heads is 4"),
        (lambda folder: edit_json(folder / "config.json", vocab_size=9), "vocab_size"),
        (lambda folder: change_tensors(folder, lambda one: one.pop(QUERY)), f"does not have the tensor {QUERY}"),
        (lambda folder: change_tensors(folder, lambda one: one.update({WORDS: one[WORDS][1:]})), WORDS),
        (lambda folder: shutil.rmtree(folder) or shutil.copytree(checkpoint("tiny-xlmr"), folder), "model_type|vocab"),
    ],
)
def test_what_does_not_mix_is_named(tmp_path, spoil: Callable[[Path], object], said):
    models = family(tmp_path, "tiny-bert")
    spoil(models[1])
    with pytest.raises(ModelFormatError, match=said) as caught:
        mixed(models, tmp_path / "out")
    assert "model-1" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["model-0", "model-1", "model-2"]


def test_a_tokenizer_that_only_trained_is_the_same(tmp_path):
    models = family(tmp_path, "tiny-bert")
    truncation = {"max_length": 48, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    edit_json(models[1] / "tokenizer.json", truncation=truncation)
    mixed(models, tmp_path / "out")


def test_numbers_too_large_for_their_type(tmp_path):
    models = family(tmp_path, "tiny-bert")
    write_shards(models[0], stored(models[0]), "F16", 1)
    change_tensors(models[1], lambda one: one.update({QUERY: one[QUERY] + np.float32(1e6)}))
    with pytest.raises(ModelFormatError, match=rf"{QUERY} gets numbers that are too large for F16"):
        mixed(models, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("weights", "said"),
    [((0.5, 0.5), "3 models and 2 weights"), ((0.5, 0.2, 0.2), "add up to 0.9"), ((0.5, 0.5, float("nan")), "nan")],
)
def test_weights_that_cannot_be(tmp_path, weights, said):
    with pytest.raises(ValueError, match=said):
        mixed([checkpoint("tiny-bert")] * 3, tmp_path / "out", weights)


def test_arguments_that_cannot_be(tmp_path):
    folder = str(checkpoint("tiny-bert"))
    with pytest.raises(ValueError, match="list of folders"):
        mix_models(folder, weights=[1], output_path=tmp_path / "out")
    with pytest.raises(ValueError, match="model_type is 'vision'"):
        mix_models([folder], "vision", [1], tmp_path / "out")
    with pytest.raises(ValueError, match="output_path is missing"):
        mix_models([folder], "encoder", [1])
    with pytest.raises(FileExistsError, match="is there already"):
        mix_models([folder], "encoder", [1], folder)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        mix_models([folder], "encoder", [1], tmp_path / "nowhere" / "out")
    (tmp_path / "graph").mkdir()
    shutil.copy(checkpoint("tiny-bert") / "config.json", tmp_path / "graph")
    (tmp_path / "graph" / "onnx").mkdir()
    (tmp_path / "graph" / "onnx" / "model.onnx").write_bytes(b"x")
    with pytest.raises(UnsupportedModelError, match="exported graph"):
        mix_models([str(tmp_path / "graph")], "encoder", [1], tmp_path / "out")


def test_what_killed_runs_left_is_removed(tmp_path):
    left = tmp_path / ".bge-fast-folder-left"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"x")
    mixed([checkpoint("tiny-bert")] * 3, tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


# The most that the process held, of its own life alone: what the system counts for a child begins with its parent's.
_MOST = """
import sys
from bge_fast import mix_models
mix_models(sys.argv[1:3], weights=[0.5, 0.5], output_path=sys.argv[3])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_memory_is_that_of_a_block(tmp_path):
    folder = shutil.copytree(checkpoint("tiny-bert"), tmp_path / "large")
    words = 1_500_000
    edit_json(folder / "config.json", vocab_size=words)
    change_tensors(folder, lambda one: one.update({WORDS: np.ones((words, 32), np.float32)}))
    program = [sys.executable, "-c", _MOST, str(folder), str(folder), str(tmp_path / "out")]
    most = int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    assert most << 10 < 150 << 20, "one model is 190 MB"
