"""The model folder of both architectures: what the manifest says is so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from bge_fast_export import __version__, precision
from tests.export.graphs import graph_rows, min_cosine, padded_batch, torch_rows
from tests.export.running import EVERY_KIND, MODELS, REAL_MODELS, TINY, Command

INPUTS = {
    "bert": ["input_ids", "attention_mask", "token_type_ids"],
    "xlm-roberta": ["input_ids", "attention_mask"],
}
ARCHITECTURE = {
    "tiny-bert": "bert",
    "tiny-xlmr": "xlm-roberta",
    "tiny-m3": "xlm-roberta",
    "tiny-reranker": "xlm-roberta",
    "tiny-reranker-bert": "bert",
}
KIND = {
    "tiny-bert": "embedder",
    "tiny-xlmr": "embedder",
    "tiny-m3": "m3",
    "tiny-reranker": "reranker",
    "tiny-reranker-bert": "reranker",
}
OUTPUTS = {
    "embedder": {"last_hidden_state": [32]},
    "m3": {"dense_vecs": [32], "sparse_vecs": [1], "colbert_vecs": [32], "last_hidden_state": [32]},
    "reranker": {"logits": [1]},
}


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "bge_fast.json").read_text(encoding="utf-8"))


def files_of(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_manifest_describes_the_model(name: str, exported: dict[str, Path]) -> None:
    manifest = manifest_of(exported[name])
    assert manifest["format"] == 1
    assert manifest["kind"] == KIND[name]
    assert manifest["architecture"] == ARCHITECTURE[name]
    assert manifest["source"] == {"checkpoint": name, "revision": None, "commit": None}
    reranker = KIND[name] == "reranker"
    assert manifest["pooling"] == (None if reranker else "cls")
    assert manifest["dimension"] == (None if reranker else 32)
    # XLM-R: 514 positions, M3 1026, less the pad id and one
    assert manifest["max_length"] == (1024 if name == "tiny-m3" else 512)
    assert manifest["tools"]["bge-fast-export"] == __version__
    assert manifest["tools"].keys() >= {"optimum", "torch", "transformers", "onnx", "onnxruntime"}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_manifest_lists_every_file_with_its_size_and_hash(name: str, exported: dict[str, Path]) -> None:
    files = files_of(exported[name])
    del files["bge_fast.json"]
    listed = manifest_of(exported[name])["files"]
    assert listed.keys() == files.keys()
    assert {"config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model_fp16.onnx"} <= listed.keys()
    for file, path in files.items():
        content = path.read_bytes()
        assert listed[file] == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_manifest_repeats_what_the_graphs_declare(name: str, exported: dict[str, Path]) -> None:
    graphs = manifest_of(exported[name])["graphs"]
    assert list(graphs) == ["onnx/model.onnx", "onnx/model_fp16.onnx"]
    for file, entry in graphs.items():
        graph = onnx.load(exported[name] / file).graph
        assert entry["inputs"] == INPUTS[ARCHITECTURE[name]] == [value.name for value in graph.input]
        assert list(entry["outputs"].items()) == list(OUTPUTS[KIND[name]].items())
        assert list(entry["outputs"]) == [value.name for value in graph.output]
        assert {value.type.tensor_type.elem_type for value in graph.output} == {onnx.TensorProto.FLOAT}
        assert {value.type.tensor_type.elem_type for value in graph.input} == {onnx.TensorProto.INT64}
        assert entry["opset"] == 18


@pytest.mark.parametrize("name", TINY)
def test_recorded_parity_is_what_another_measurement_finds(name: str, exported: dict[str, Path]) -> None:
    graphs = manifest_of(exported[name])["graphs"]
    batch = padded_batch(ARCHITECTURE[name])
    expected = torch_rows(MODELS / name, batch)
    fp32 = graph_rows(exported[name] / "onnx/model.onnx", batch)
    fp16 = graph_rows(exported[name] / "onnx/model_fp16.onnx", batch)

    assert graphs["onnx/model.onnx"]["precision"] == "fp32"
    assert 0 < graphs["onnx/model.onnx"]["parity"]["max_abs"] < 1e-4
    assert np.abs(fp32 - expected).max() < 1e-4

    parity = graphs["onnx/model_fp16.onnx"]["parity"]
    assert parity["texts"] == 24
    assert 1e-4 < parity["max_abs"] < 0.05  # fp16 cannot be as near as fp32: zero would mean it was not measured
    assert 0.999 < parity["min_cosine"] < 1
    assert fp16.dtype == np.float32
    assert min_cosine(fp16, expected) > 0.9999


@pytest.mark.parametrize("name", EVERY_KIND)
def test_fp16_graph_is_fused_and_holds_no_number_that_fp16_cannot(name: str, exported: dict[str, Path]) -> None:
    graph = onnx.load(exported[name] / "onnx/model_fp16.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("Attention") == 2
    assert operators.count("BiasGelu") == 2
    assert "FastGelu" not in operators
    assert operators.count("Tanh") == (KIND[name] == "reranker")  # of the head
    kinds = {tensor.data_type for tensor in graph.initializer}
    assert onnx.TensorProto.FLOAT not in kinds
    assert onnx.TensorProto.FLOAT16 in kinds
    attributes = [(item.name, item.f) for node in graph.node for item in node.attribute]
    assert min(value for name, value in attributes if name == "epsilon") >= 0.99e-7
    assert all(value >= -65504 for name, value in attributes if name == "mask_filter_value")
    for tensor in graph.initializer:
        assert np.isfinite(onnx.numpy_helper.to_array(tensor)).all()


@pytest.mark.parametrize("name", EVERY_KIND)
def test_graphs_carry_no_path_of_this_machine(name: str, exported: dict[str, Path]) -> None:
    for path in files_of(exported[name]).values():
        content = path.read_bytes()
        assert str(MODELS).encode() not in content, path
        assert b"site-packages" not in content, path


@pytest.mark.parametrize("name", EVERY_KIND)
def test_small_files_are_copied_unchanged(name: str, exported: dict[str, Path]) -> None:
    copied = [file for file in files_of(exported[name]) if not file.startswith(("onnx/", "bge_fast"))]
    assert set(copied) == {
        file for file in files_of(MODELS / name) if not file.endswith((".safetensors", ".bin", ".pt"))
    }
    for file in copied:
        assert (exported[name] / file).read_bytes() == (MODELS / name / file).read_bytes()


def test_links_of_a_hub_cache_become_regular_files(tmp_path: Path, place: Path, command: Command) -> None:
    linked = tmp_path / "snapshot"
    for file, path in files_of(MODELS / "tiny-bert").items():
        (linked / file).parent.mkdir(parents=True, exist_ok=True)
        (linked / file).symlink_to(path)
    assert command(linked, "-o", place / "out", "--precision", "fp32").status == 0
    assert not [path for path in (place / "out").rglob("*") if path.is_symlink()]


def test_one_precision_alone(checkpoint: Path, place: Path, command: Command) -> None:
    for precision_name, file in (("fp32", "onnx/model.onnx"), ("fp16", "onnx/model_fp16.onnx")):
        target = place / precision_name
        assert command(checkpoint, "-o", target, "--precision", precision_name).status == 0
        assert [name for name in files_of(target) if name.startswith("onnx/")] == [file]
        assert list(manifest_of(target)["graphs"]) == [file]


def test_options_reach_the_manifest(checkpoint: Path, place: Path, command: Command) -> None:
    run = command(checkpoint, "-o", place / "out", "--max-length", 128, "--opset", 17, "--precision", "fp32")
    assert run.status == 0
    manifest = manifest_of(place / "out")
    assert manifest["max_length"] == 128
    assert manifest["graphs"]["onnx/model.onnx"]["opset"] == 17
    opsets = {item.domain: item.version for item in onnx.load(place / "out/onnx/model.onnx").opset_import}
    assert opsets[""] == 17


@pytest.mark.parametrize(
    ("declared", "pooling"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean_tokens"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        (None, None),
    ],
)
def test_pooling_is_recorded_as_declared(
    declared: dict | None, pooling: str | None, checkpoint: Path, place: Path, command: Command
) -> None:
    shutil.rmtree(checkpoint / "1_Pooling")
    if declared is not None:
        (checkpoint / "1_Pooling").mkdir()
        (checkpoint / "1_Pooling/config.json").write_text(json.dumps(declared))
    assert command(checkpoint, "-o", place / "out", "--precision", "fp32").status == 0
    assert manifest_of(place / "out")["pooling"] == pooling


def test_large_graphs_keep_their_weights_beside_them(
    checkpoint: Path, place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "EXTERNAL_DATA_THRESHOLD", 0)
    monkeypatch.setenv("FORCE_ONNX_EXTERNAL_DATA", "1")  # Optimum's switch for its own tests
    assert command(checkpoint, "-o", place / "out").status == 0
    graphs = {"model.onnx", "model.onnx_data", "model_fp16.onnx", "model_fp16.onnx_data"}
    assert set(os.listdir(place / "out/onnx")) == graphs
    assert {f"onnx/{name}" for name in graphs} < manifest_of(place / "out")["files"].keys()
    batch = padded_batch("bert")
    expected = torch_rows(checkpoint, batch)
    assert np.abs(graph_rows(place / "out/onnx/model.onnx", batch) - expected).max() < 1e-4
    assert min_cosine(graph_rows(place / "out/onnx/model_fp16.onnx", batch), expected) > 0.9999

    assert command(checkpoint, "-o", place / "fp16", "--precision", "fp16").status == 0
    assert set(os.listdir(place / "fp16/onnx")) == {"model_fp16.onnx", "model_fp16.onnx_data"}


def test_real_checkpoint(place: Path, command: Command) -> None:
    name = "bge-small-en-v1.5"
    if not (REAL_MODELS / name).is_dir():
        pytest.skip(f"needs the real checkpoint {name} in ../shared/data/models")
    assert command(REAL_MODELS / name, "-o", place / name).status == 0
    graphs = manifest_of(place / name)["graphs"]
    assert graphs["onnx/model.onnx"]["parity"]["max_abs"] < 2e-5
    assert graphs["onnx/model_fp16.onnx"]["parity"]["min_cosine"] > 0.9999
