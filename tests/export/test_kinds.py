"""What holds for M3 and rerankers alike: which checkpoint is what, what is recorded, wrong graphs, large ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bge_fast_export import export as export_module
from bge_fast_export import precision
from tests.export.graphs import graph_outputs, padded_pairs
from tests.export.running import MODELS, RERANKERS, Command, edit_config, kind_in

CopyOf = Callable[[str], Path]


def test_named_kind_overrules_what_the_files_say(copy_of: CopyOf, place: Path, command: Command) -> None:
    cases = (
        (MODELS / "tiny-m3", "embedder", ("embedder", ["last_hidden_state"])),
        (MODELS / "tiny-reranker", "embedder", ("embedder", ["last_hidden_state"])),
        (MODELS / "tiny-bert", "m3", ("m3", ["dense_vecs", "last_hidden_state"])),
        (MODELS / "tiny-reranker", "auto", ("reranker", ["logits"])),
    )
    for number, (checkpoint, kind, expected) in enumerate(cases):
        assert command(checkpoint, "-o", place / str(number), "--kind", kind, "--precision", "fp32").status == 0
        assert kind_in(place / str(number)) == expected

    unnamed = copy_of("tiny-reranker-bert")
    edit_config(unnamed, architectures=None)
    assert command(unnamed, "-o", place / "named", "--kind", "reranker", "--precision", "fp32").status == 0
    assert kind_in(place / "named") == ("reranker", ["logits"])
    assert not [path for path in place.rglob("*.pt")]


@pytest.mark.parametrize("name", ["tiny-m3", *RERANKERS])
def test_parity_is_recorded_for_each_output(name: str, exported: dict[str, Path]) -> None:
    graphs = json.loads((exported[name] / "bge_fast.json").read_text())["graphs"]
    for file, low, high in (("onnx/model.onnx", 0, 2e-5), ("onnx/model_fp16.onnx", 1e-4, 0.05)):
        entry = graphs[file]
        parity = entry["parity"]
        assert parity["texts"] == 24
        assert list(parity["outputs"]) == list(entry["outputs"])
        figures = list(parity["outputs"].values())
        assert all(low < found["max_abs"] < high for found in figures)
        assert parity["max_abs"] == max(found["max_abs"] for found in figures)
        cosines = [found["min_cosine"] for found in figures if found["min_cosine"] is not None]
        assert len(cosines) == sum(width != [1] for width in entry["outputs"].values())
        assert parity["min_cosine"] == min(cosines, default=None)
        assert all(0.9999 < cosine <= 1 for cosine in cosines)


@pytest.mark.parametrize("name", ["tiny-m3", "tiny-reranker"])
def test_large_graphs_keep_their_weights_beside_them(
    name: str, place: Path, command: Command, exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "EXTERNAL_DATA_THRESHOLD", 0)
    monkeypatch.setenv("FORCE_ONNX_EXTERNAL_DATA", "1")  # Optimum's switch for its own tests
    assert command(MODELS / name, "-o", place / "out").status == 0
    graphs = {"model.onnx", "model.onnx_data", "model_fp16.onnx", "model_fp16.onnx_data"}
    assert set(os.listdir(place / "out/onnx")) == graphs
    batch = padded_pairs("xlm-roberta")
    for file in ("onnx/model.onnx", "onnx/model_fp16.onnx"):
        inside = graph_outputs(exported[name] / file, batch)
        for output, beside in graph_outputs(place / "out" / file, batch).items():
            assert np.abs(beside - inside[output]).max() < 1e-6


def scaled(path: Path, shape: tuple[int, ...], factor: float) -> None:
    """Multiply the one matrix of this shape."""
    model = onnx.load(path)
    factors = {name for node in model.graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input}
    (tensor,) = [item for item in model.graph.initializer if item.name in factors and tuple(item.dims) == shape]
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array((values * factor).astype(values.dtype), tensor.name))
    onnx.save(model, path)


# The only matrices of these shapes are those of the head.
WRONG = [
    ("tiny-m3", (32, 1), "sparse_vecs"),
    ("tiny-reranker", (1, 32), "logits"),
    ("tiny-reranker-bert", (1, 32), "logits"),
]


@pytest.mark.parametrize("function", ["export_graph", "write_fp16"])
@pytest.mark.parametrize(("name", "shape", "output"), WRONG)
def test_wrong_head_is_noticed(
    name: str,
    shape: tuple[int, ...],
    output: str,
    function: str,
    place: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = getattr(export_module, function)
    index, file, factor = (3, "model.onnx", 1.001) if function == "export_graph" else (1, "model_fp16.onnx", 1.1)

    def wrong(*arguments: object) -> None:
        right(*arguments)
        scaled(arguments[index], shape, factor)

    monkeypatch.setattr(export_module, function, wrong)
    run = command(MODELS / name, "-o", place / "out")
    assert run.status == 1
    assert f"{file} differs from the checkpoint by" in run.error
    assert f"in {output}; at most" in run.error
    assert os.listdir(place) == []
