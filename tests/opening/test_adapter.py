"""LoRA adapters: merged into their base when it is found, else told how to; other kinds refused by name."""

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from tests.support.adapters import RANK, adapter, factors, lora
from tests.support.checkpoints import checkpoint
from tests.support.hub_double import REPOSITORY, cache
from tests.support.malformed import (
    QUERY,
    WORDS,
    change_tensors,
    turn_into_pickled,
    turn_into_shards,
)

TEXTS = ["a wing in a slipstream", "heat transfer", ""]
VALUE = "encoder.layer.1.output.dense.weight"


def merged(folder: Path, scale: float, *names: str) -> FlagModel:
    """The checkpoint with the product added to its tensors by hand."""

    def add(tensors: dict[str, np.ndarray]) -> None:
        for name in names:
            a, b = factors(tensors[name].shape)
            tensors[name] = (tensors[name] + np.float32(scale) * (b @ a)).astype(np.float32)

    change_tensors(folder, add)
    return FlagModel(str(folder))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint("tiny-bert"), tmp_path / "other")


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 8 / math.sqrt(RANK)),
        ({"lora_alpha": 3}, 0.75),
        ({"lora_alpha": 0.5, "use_dora": False}, 0.125),
    ],
)
@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_is_merged(own_checkpoint, other, tmp_path, bert, config, scale, file):
    tensors = {**lora(QUERY, (32, 32)), **lora(VALUE, (32, 64))}
    model = FlagModel(adapter(tmp_path / "lora", str(own_checkpoint), tensors, file, **config))
    wanted = merged(other, scale, QUERY, VALUE).encode(TEXTS)
    assert np.allclose(model.encode(TEXTS), wanted, atol=1e-6)
    assert not np.allclose(wanted, bert.encode(TEXTS), atol=1e-3)
    info = model.info()
    assert info["checkpoint"] == str(tmp_path / "lora")
    assert [Path(file).name for file in info["files"]] == ["model.safetensors", file]


@pytest.mark.parametrize("stored", ["pickled", "shards", "low_memory", "prefix in the adapter"])
def test_whatever_the_base_is_stored_in(own_checkpoint, other, tmp_path, stored):
    wanted = merged(other, 2.0, QUERY).encode(TEXTS)
    if stored == "pickled":
        turn_into_pickled(own_checkpoint)
    elif stored == "shards":
        turn_into_shards(own_checkpoint)
    name = f"bert.{QUERY}" if stored.startswith("prefix") else QUERY
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(name, (32, 32)))
    model = FlagModel(folder, low_memory=stored == "low_memory")
    assert np.allclose(model.encode(TEXTS), wanted, atol=1e-6)
    assert np.allclose(model.encode(TEXTS * 40)[:3], wanted, atol=1e-6), "bulk opens a session of its own"


def test_embeddings_and_whole_layers(own_checkpoint, other, tmp_path):
    def change(tensors):
        tensors["embeddings.LayerNorm.bias"] = bias
        tensors[WORDS] = (tensors[WORDS] + 2 * (b @ a).T).astype(np.float32)

    random = np.random.default_rng(3)
    bias = random.normal(size=32).astype(np.float32)
    a, b = (
        random.normal(size=(RANK, 3000)).astype(np.float32) / 10,
        random.normal(size=(32, RANK)).astype(np.float32) / 10,
    )
    module = WORDS.removesuffix(".weight")
    tensors = {
        f"{module}.lora_embedding_A": a,
        f"{module}.lora_embedding_B": b,
        "embeddings.LayerNorm.modules_to_save.bias": bias,
    }
    model = FlagModel(adapter(tmp_path / "lora", str(own_checkpoint), tensors))
    change_tensors(other, change)
    assert np.allclose(model.encode(TEXTS), FlagModel(str(other)).encode(TEXTS), atol=1e-5)


def test_a_reranker_gets_its_classifier_from_the_adapter(tmp_path):
    whole = checkpoint("tiny-reranker-bert")
    from tests.support.malformed import read_safetensors

    tensors = read_safetensors(whole / "model.safetensors")
    base = shutil.copytree(whole, tmp_path / "base")
    change_tensors(base, lambda stored: [stored.pop(name) for name in list(stored) if name.startswith("classifier.")])
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    trained = {name: tensor for name, tensor in tensors.items() if name.startswith("classifier.")}
    model = FlagReranker(adapter(tmp_path / "lora", str(base), trained, task_type="SEQ_CLS"))
    pairs = [("a wing", "slip flow"), ("heat", "transfer")]
    assert model.compute_score(pairs) == FlagReranker(str(whole)).compute_score(pairs)


def test_a_base_in_the_cache_or_beside(own_checkpoint, other, tmp_path, monkeypatch):
    wanted = merged(other, 2.0, QUERY).encode(TEXTS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cache(own_checkpoint, tmp_path / "cache")
    model = FlagModel(adapter(tmp_path / "lora", REPOSITORY, lora(QUERY, (32, 32))), cache_dir=str(tmp_path / "cache"))
    assert np.allclose(model.encode(TEXTS), wanted, atol=1e-6)
    shutil.copytree(own_checkpoint, tmp_path / "lora" / "base")
    model = FlagModel(adapter(tmp_path / "lora", "base", lora(QUERY, (32, 32))))
    assert np.allclose(model.encode(TEXTS), wanted, atol=1e-6)


def test_a_base_that_is_not_here_is_told_with_the_way_out(tmp_path):
    folder = adapter(tmp_path / "lora", "somewhere/base", lora(QUERY, (32, 32)))
    with pytest.raises(
        ModelNotFoundError, match="LoRA adapter, and its base 'somewhere/base'.*bge-fast download.*merge_and_unload"
    ):
        FlagModel(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "type 'IA3'"),
        ({"peft_type": "LOHA"}, "type 'LOHA'"),
        ({"peft_type": None}, "type None"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"alpha_pattern": {"query": 4}}, "alpha_pattern"),
        ({"lora_bias": True}, "lora_bias"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
    ],
)
def test_other_kinds_are_refused_by_name(own_checkpoint, tmp_path, config, said):
    with pytest.raises(UnsupportedModelError, match=said):
        FlagModel(adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 32)), **config))


def test_magnitudes_are_refused_by_name(own_checkpoint, tmp_path):
    module = QUERY.removesuffix(".weight")
    tensors = {**lora(QUERY, (32, 32)), f"{module}.lora_magnitude_vector.weight": np.ones(32, np.float32)}
    with pytest.raises(UnsupportedModelError, match="lora_magnitude_vector"):
        FlagModel(adapter(tmp_path / "lora", str(own_checkpoint), tensors))


BROKEN = {
    "another model": (
        lora("encoder.layer.9.attention.self.query.weight", (32, 32)),
        {},
        "encoder.layer.9.* does not have",
    ),
    "another shape": (lora(QUERY, (32, 64)), {}, r"of shape \(32, 64\)"),
    "one factor": (
        {key: one for key, one in lora(QUERY, (32, 32)).items() if "lora_A" in key},
        {},
        "factors of .* do not fit",
    ),
    "no alpha": (lora(QUERY, (32, 32)), {"lora_alpha": "8"}, "lora_alpha"),
    "no base": (lora(QUERY, (32, 32)), {"base_model_name_or_path": None}, "base_model_name_or_path"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_named(own_checkpoint, tmp_path, case):
    tensors, config, said = BROKEN[case]
    with pytest.raises(ModelFormatError, match=said):
        FlagModel(adapter(tmp_path / "lora", str(own_checkpoint), tensors, **config))


def test_an_adapter_without_weights(own_checkpoint, tmp_path):
    folder = adapter(tmp_path / "lora", str(own_checkpoint), {})
    (tmp_path / "lora" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="has no weights .adapter_model.safetensors"):
        FlagModel(folder)


def test_nothing_is_left_when_the_model_is_gone(own_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 32)))
    model = FlagModel(folder)
    (mine,) = (tmp_path / "scratch").iterdir()
    if os.fork() == 0:  # ends as workers do, without what Python does at its end
        os._exit(0 if len(model.encode("x")) == 32 else 1)
    assert os.wait()[1] == 0
    assert mine.is_dir(), "the parent's is not the child's to remove"
    other = FlagModel(folder)
    assert len(list((tmp_path / "scratch").iterdir())) == 2, "the child's was swept"
    assert np.array_equal(model.encode(TEXTS), other.encode(TEXTS))
    model.close()
    other.close()
    assert list((tmp_path / "scratch").iterdir()) == []
