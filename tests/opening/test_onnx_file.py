"""Graphs of other names: named where nothing else can be opened, and chosen with `onnx_file=`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel
from bge_fast.commands.doctor.tiny_model import write_tiny_model
from bge_fast.errors import ModelNotFoundError
from tests.opening.test_hub import open_elsewhere
from tests.support.hub_double import REPOSITORY, cache, serving

OTHERS = ["model_quantized.onnx", "onnx/model_O3.onnx", "onnx/model_qint8_avx512.onnx", "openvino/encoder.onnx"]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny")


def renamed(folder: Path, name: str) -> Path:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / "onnx" / "model.onnx").rename(folder / name)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_another_name_is_named_and_can_be_chosen(tiny, name):
    wanted = FlagModel(str(tiny)).encode("doctor runs")
    renamed(tiny, name)
    with pytest.raises(ModelNotFoundError, match=rf"other graphs: {name}\. Choose one with onnx_file='{name}'"):
        FlagModel(str(tiny))
    model = FlagModel(str(tiny), onnx_file=name)
    assert np.array_equal(model.encode("doctor runs"), wanted)
    info = model.info()
    assert (info["files"], info["source"], info["precision"]) == ([str(tiny / name)], "onnx", "as stored")


def test_the_choice_goes_before_weights_and_usual_names(own_checkpoint, tiny):
    (own_checkpoint / "onnx").mkdir()
    for name in ("model.onnx", "model_O2.onnx"):
        (own_checkpoint / "onnx" / name).write_bytes((tiny / "onnx" / "model.onnx").read_bytes())
    for name in ("config.json", "tokenizer.json"):
        (own_checkpoint / name).write_bytes((tiny / name).read_bytes())
    model = FlagModel(str(own_checkpoint), onnx_file=Path("onnx") / "." / "model_O2.onnx", use_fp16=True)
    assert model.info()["files"] == [str(own_checkpoint / "onnx" / "model_O2.onnx")]


def test_many_names_are_not_all_listed(tiny):
    graph = (renamed(tiny, "a.onnx") / "a.onnx").read_bytes()
    for place in range(100):
        (tiny / f"graph{place:03}.onnx").write_bytes(graph)
    with pytest.raises(ModelNotFoundError, match="a.onnx, graph000.onnx.* and others") as caught:
        FlagModel(str(tiny))
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("chosen", ["onnx/model_O9.onnx", "model.onnx"])
def test_a_graph_that_is_not_there_is_told_with_those_that_are(tiny, chosen):
    with pytest.raises(ModelNotFoundError, match=f"has no graph '{chosen}'; it has onnx/model.onnx"):
        FlagModel(str(tiny), onnx_file=chosen)


@pytest.mark.parametrize(
    "odd", ["../x.onnx", "/etc/x.onnx", "a/../../x.onnx", "model.safetensors", "", ".onnx", "x\0.onnx", "x" * 9999]
)
def test_what_is_no_name_of_a_graph_is_refused(tiny, odd):
    with pytest.raises(ValueError, match="onnx_file must name a graph in the model's folder") as caught:
        FlagModel(str(tiny), onnx_file=odd)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("odd", [5, b"x.onnx", ["x.onnx"], True])
def test_what_is_no_path_is_refused(tiny, odd):
    with pytest.raises(TypeError, match="onnx_file must be a str"):
        FlagModel(str(tiny), onnx_file=odd)


def test_of_a_model_folder_the_listed_graphs_can_be_chosen(tiny):
    (tiny / "onnx" / "model_other.onnx").write_bytes((tiny / "onnx" / "model.onnx").read_bytes())
    names = [path.relative_to(tiny).as_posix() for path in tiny.rglob("*.*")]
    manifest = {
        "format": 1,
        "source": {},
        "files": {name: {"size": (tiny / name).stat().st_size} for name in names},
        "graphs": {name: {"precision": "fp32"} for name in names if name.endswith("onnx")},
    }
    (tiny / "bge_fast.json").write_text(json.dumps(manifest))
    model = FlagModel(str(tiny), onnx_file="onnx/model_other.onnx")
    assert model.info()["files"] == [str(tiny / "onnx" / "model_other.onnx")]
    assert model.info()["precision"] == "fp32"
    with pytest.raises(ModelNotFoundError, match="has no graph"):
        FlagModel(str(tiny), onnx_file="onnx/unlisted.onnx")


def test_in_a_repository(tiny, tmp_path, monkeypatch):
    renamed(tiny, "onnx/model_quantized.onnx")
    (tiny / "onnx" / "model_q4.onnx").write_bytes(b"large")
    with serving(tiny) as hub:
        refused = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
        assert (
            "other graphs: onnx/model_q4.onnx, onnx/model_quantized.onnx. Choose one with onnx_file=" in refused["said"]
        )
        options = json.dumps({"onnx_file": "onnx/model_quantized.onnx"})
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint, options=options)
        assert opened["source"] == "onnx"
        assert "onnx/model_q4.onnx" not in hub.given
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cache(tiny, tmp_path / "cache")
    model = FlagModel(REPOSITORY, cache_dir=str(tmp_path / "cache"), onnx_file="onnx/model_quantized.onnx")
    assert os.path.basename(os.path.dirname(model.info()["files"][0])) == "blobs"
