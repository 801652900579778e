"""Every form in which weights and tokenizers are stored gives the graph of the same model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from tests.export.graphs import graph_rows, padded_batch, torch_rows
from tests.export.running import MODELS, Command

Store = Callable[[Path], None]


def model_in(folder: Path) -> transformers.PreTrainedModel:
    return transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)


def without_weights(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    return folder


def fp16_safetensors(folder: Path) -> None:
    model = model_in(folder).half()
    model.save_pretrained(without_weights(folder))


def sharded_safetensors(folder: Path) -> None:
    model = model_in(folder)
    model.save_pretrained(without_weights(folder), max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def fp16_sharded_safetensors(folder: Path) -> None:
    model = model_in(folder).half()
    model.save_pretrained(without_weights(folder), max_shard_size="50KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def pickle_file(folder: Path) -> None:
    torch.save(model_in(folder).state_dict(), without_weights(folder) / "pytorch_model.bin")


def old_pickle_file(folder: Path) -> None:
    weights = model_in(folder).half().state_dict()
    path = without_weights(folder) / "pytorch_model.bin"
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def sharded_pickle(folder: Path) -> None:
    model = model_in(folder)
    model.save_pretrained(without_weights(folder), max_shard_size="100KB", safe_serialization=False)
    assert len(list(folder.glob("pytorch_model-*.bin"))) > 1


def with_pooler(folder: Path) -> None:
    model = transformers.AutoModel.from_pretrained(folder)  # the missing pooler is made up
    model.save_pretrained(without_weights(folder))


def prefixed_with_head(folder: Path) -> None:
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    model.save_pretrained(without_weights(folder))


FORMS = (
    fp16_safetensors,
    sharded_safetensors,
    fp16_sharded_safetensors,
    pickle_file,
    old_pickle_file,
    sharded_pickle,
    with_pooler,
    prefixed_with_head,
)
CASES = [("tiny-bert", "bert", store) for store in FORMS] + [
    ("tiny-xlmr", "xlm-roberta", store) for store in (fp16_safetensors, pickle_file, with_pooler)
]


@pytest.mark.parametrize(("name", "model_type", "store"), CASES)
def test_stored_form(name: str, model_type: str, store: Store, tmp_path: Path, place: Path, command: Command) -> None:
    folder = tmp_path / name
    shutil.copytree(MODELS / name, folder)
    store(folder)
    assert command(folder, "-o", place / "out", "--precision", "fp32").status == 0

    batch = padded_batch(model_type)
    graph = place / "out/onnx/model.onnx"
    assert np.abs(graph_rows(graph, batch) - torch_rows(folder, batch)).max() < 1e-4
    # And the model is still the one that was stored: 1e-2 leaves room for weights rounded to fp16.
    assert np.abs(graph_rows(graph, batch) - torch_rows(MODELS / name, batch)).max() < 1e-2
    declared = onnx.load(graph).graph
    assert [value.name for value in declared.output] == ["last_hidden_state"]
    assert not [tensor.name for tensor in declared.initializer if "pooler" in tensor.name]
    assert {tensor.data_type for tensor in declared.initializer} <= {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
    }


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-xlmr"])
def test_slow_tokenizer_is_converted(name: str, tmp_path: Path, place: Path, command: Command) -> None:
    folder = tmp_path / name
    shutil.copytree(MODELS / name, folder)
    (folder / "tokenizer.json").unlink()
    assert command(folder, "-o", place / "out", "--precision", "fp32").status == 0
    converted = Tokenizer.from_file(str(place / "out/tokenizer.json"))
    original = Tokenizer.from_file(str(MODELS / name / "tokenizer.json"))
    for text in ("The Wing of a plane, 1958.", "naïve café", "天气 forecast"):
        assert converted.encode(text).ids == original.encode(text).ids
        assert len(converted.encode(text).ids) > 4
