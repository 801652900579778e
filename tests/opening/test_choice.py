"""What of a folder is opened, best first: the same list for a folder and for a repository of the hub."""

import json
from pathlib import Path

import pytest

from bge_fast.errors import ModelFormatError
from bge_fast.opening.choice import choices, chosen

MANIFEST = {"graphs": {"onnx/model.onnx": {"precision": "fp32"}, "onnx/model_fp16.onnx": {"precision": "fp16"}}}


def index(folder: Path, name: str, *shards: str) -> None:
    table = {"weight_map": {f"tensor {place}": shard for place, shard in enumerate(shards)}}
    (folder / f"{name}.index.json").write_text(json.dumps(table))


def test_a_checkpoint_comes_before_a_plain_graph_and_safetensors_before_pickles(tmp_path):
    found = list(choices(tmp_path, {}, ["fp32"]))
    assert [choice.files for choice in found] == [
        ("model.safetensors",),
        ("pytorch_model.bin",),
        ("onnx/model.onnx",),
        ("model.onnx",),
    ]
    assert [choice.origin for choice in found] == ["checkpoint", "checkpoint", "onnx", "onnx"]
    assert chosen(tmp_path, {}, ["fp32"]) is None


def test_shards_come_after_the_single_file_and_are_begun_by_their_index(tmp_path):
    index(tmp_path, "pytorch_model.bin", "b.bin", "a.bin", "b.bin")
    best = chosen(tmp_path, {}, ["fp32"])
    assert best is not None
    assert best.files == ("a.bin", "b.bin")
    assert best.missing(tmp_path) == ["a.bin", "b.bin"]
    (tmp_path / "pytorch_model.bin").touch()
    assert chosen(tmp_path, {}, ["fp32"]).files == ("pytorch_model.bin",)


def test_an_index_that_is_not_needed_is_not_read(tmp_path):
    (tmp_path / "pytorch_model.bin.index.json").write_text("no JSON")
    (tmp_path / "model.safetensors").touch()
    assert chosen(tmp_path, {}, ["fp32"]).files == ("model.safetensors",)
    with pytest.raises(ModelFormatError, match=r"pytorch_model\.bin\.index\.json"):
        list(choices(tmp_path, {}, ["fp32"]))


@pytest.mark.parametrize(
    ("computations", "there", "expected"),
    [
        (["fp16", "fp32"], ("onnx/model.onnx", "onnx/model_fp16.onnx"), "onnx/model_fp16.onnx"),
        (["fp16", "fp32"], ("onnx/model.onnx",), "onnx/model.onnx"),
        (["fp32"], ("onnx/model.onnx", "onnx/model_fp16.onnx"), "onnx/model.onnx"),
        (["fp16"], ("onnx/model.onnx", "model.safetensors"), None),
    ],
)
def test_of_a_manifests_graphs_the_computation_decides(tmp_path, computations, there, expected):
    (tmp_path / "onnx").mkdir()
    for file in there:
        (tmp_path / file).touch()
    best = chosen(tmp_path, MANIFEST, computations)
    assert (best and best.files[0]) == expected
    assert best is None or best.computation == MANIFEST["graphs"][expected]["precision"]


def test_a_checkpoint_computes_in_fp16_where_that_is_asked_for(tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert [choice.computation for choice in choices(tmp_path, {}, ["fp16"])] == ["fp16", "fp16"]
    assert chosen(tmp_path, {}, ["fp16", "fp32"]).computation == "fp16"
    assert chosen(tmp_path, {}, ["fp32"]).computation == "fp32"


def test_external_data_is_missing_where_the_graph_names_it(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"... location model.onnx_data ...")
    best = chosen(tmp_path, {}, ["fp32"])
    assert best.missing(tmp_path) == ["model.onnx_data"]
    (tmp_path / "model.onnx_data").touch()
    assert best.missing(tmp_path) == []
    (tmp_path / "model.onnx_data").unlink()
    (tmp_path / "model.onnx").write_bytes(b"weights and all")
    assert best.missing(tmp_path) == []


def test_a_link_that_leads_nowhere_begins_a_choice(tmp_path):
    (tmp_path / "model.safetensors").symlink_to("gone")
    (tmp_path / "model.onnx").touch()
    assert chosen(tmp_path, {}, ["fp32"]).files == ("model.safetensors",)
