"""Files that others write to, cut short or replace while a model has them open."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from bge_fast import FlagModel, FlagReranker, ModelFormatError, _core
from bge_fast.opening import engine
from tests.support.checkpoints import checkpoint, edit_json
from tests.support.malformed import WEIGHTS, change_tensors

BULK = [f"text number {number}" for number in range(300)]


def rewrite(path: Path) -> None:
    """Other numbers into the same file."""
    raw = bytearray(path.read_bytes())
    raw[-4000:] = bytes(4000)
    with path.open("r+b") as file:
        file.write(raw)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [rewrite, cut_short, grow])
@pytest.mark.parametrize("texts", ["one text", BULK])
def test_weights_written_to_in_place_are_refused_at_the_next_call(own_checkpoint, change, texts):
    model = FlagModel(str(own_checkpoint))
    model.encode("before")
    change(own_checkpoint / WEIGHTS)
    for _ in range(2):
        with pytest.raises(ModelFormatError, match=rf"{WEIGHTS} was written to .* Open the model again"):
            model.encode(texts)


def test_torch_files_and_shards_too(tmp_path):
    folder = shutil.copytree(checkpoint("tiny-reranker"), tmp_path / "reranker")
    model = FlagReranker(str(folder))
    weights = next(path for path in folder.iterdir() if path.name.startswith(("model", "pytorch_model")))
    rewrite(weights)
    with pytest.raises(ModelFormatError, match=weights.name):
        model.compute_score(["a", "b"])


@pytest.mark.parametrize("texts", ["one text", BULK])
def test_weights_replaced_by_renaming_disturb_nobody(own_checkpoint, tmp_path, texts):
    model = FlagModel(str(own_checkpoint))
    before = model.encode("before")
    expected = FlagModel(str(checkpoint("tiny-bert"))).encode("one text")
    new = shutil.copy(own_checkpoint / WEIGHTS, tmp_path / "new")
    rewrite(Path(new))
    os.replace(new, own_checkpoint / WEIGHTS)
    assert np.array_equal(model.encode("before"), before)
    assert np.array_equal(model.encode("one text"), expected)


def split_graph(folder: Path, location: str) -> Path:
    """An onnx repository whose graph has its one table in a file of its own."""
    width, rows = 32, 3000
    table = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["b", "s"]) for name in ("input_ids",)]
    output = onnx.helper.make_tensor_value_info("last_hidden_state", onnx.TensorProto.FLOAT, ["b", "s", width])
    tensor = onnx.numpy_helper.from_array(table, "table")
    node = onnx.helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    graph = onnx.helper.make_graph([node], "g", inputs, [output], [tensor])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (folder / "onnx").mkdir()
    onnx.save(model, folder / "onnx/model.onnx", save_as_external_data=True, location=location, size_threshold=0)
    (folder / WEIGHTS).unlink()
    return folder / "onnx" / location


@pytest.mark.parametrize("location", ["model.onnx_data", "weights.bin"])
def test_the_external_data_of_a_graph_is_watched(own_checkpoint, location):
    data = split_graph(own_checkpoint, location)
    model = FlagModel(str(own_checkpoint))
    model.encode("before")
    rewrite(data)
    with pytest.raises(ModelFormatError, match=rf"{location} was written to"):
        model.encode("after")


def test_the_graph_itself_is_watched(own_checkpoint):
    split_graph(own_checkpoint, "model.onnx_data")
    model = FlagModel(str(own_checkpoint))
    grow(own_checkpoint / "onnx/model.onnx")
    with pytest.raises(ModelFormatError, match=r"model\.onnx was written to"):
        model.encode("after")


def test_external_data_replaced_by_renaming_never_mixes_two_models(own_checkpoint, tmp_path):
    data = split_graph(own_checkpoint, "model.onnx_data")
    model = FlagModel(str(own_checkpoint))
    before = model.encode(BULK[:3])
    new = shutil.copy(data, tmp_path / "new")
    rewrite(Path(new))
    os.replace(new, data)
    assert np.array_equal(model.encode(BULK)[:3], before)


def test_fewer_layers_than_the_weights_have_are_told(own_checkpoint):
    edit_json(own_checkpoint / "config.json", num_hidden_layers=1)
    with pytest.warns(UserWarning, match=r"num_hidden_layers of config\.json is 1, but .* encoder\.layer\.1\."):
        FlagModel(str(own_checkpoint))


def test_all_layers_are_no_reason_to_warn(own_checkpoint):
    # Names that merely look like a layer's.
    change_tensors(own_checkpoint, lambda tensors: tensors.update({"encoder.layer.20x": np.zeros(1, np.float32)}))
    FlagModel(str(own_checkpoint))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "1_Pooling/config.json"])
def test_files_that_change_while_a_model_is_opened(own_checkpoint, monkeypatch, name):
    def late(*arguments: object, **options: object) -> _core.Model:
        edit_json(own_checkpoint / name, note="new")
        return _core.Model(*arguments, **options)

    monkeypatch.setattr(engine, "_core", SimpleNamespace(**{**vars(_core), "Model": late}))
    with pytest.raises(ModelFormatError, match="config.json changed while the model was being opened"):
        FlagModel(str(own_checkpoint))
