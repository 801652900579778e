"""ONNX graphs that somebody else made: what cannot be fed or read is refused by name when the model is opened."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bge_fast import FlagModel, FlagReranker, ModelFormatError
from tests.support.checkpoints import edit_json
from tests.support.malformed import WEIGHTS

WIDTH = 32


def graph_of(
    folder: Path,
    *,
    output: str = "last_hidden_state",
    dims: tuple = ("b", "s", WIDTH),
    ids: int = TensorProto.INT64,
    shape: tuple = ("b", "s"),
    dtype: int = TensorProto.FLOAT,
    properties: dict[str, str] | None = None,
) -> None:
    """A graph that looks words up in a table, in place of the checkpoint's weights."""
    table = np.random.default_rng(0).normal(size=(3000, WIDTH)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    nodes.append(helper.make_node("Cast", ["rows"], [output], to=dtype))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input_ids", ids, list(shape))],
        [helper.make_tensor_value_info(output, dtype, list(dims))],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, properties or {})
    (folder / "onnx").mkdir(exist_ok=True)
    onnx.save(model, folder / "onnx/model.onnx")
    (folder / WEIGHTS).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": (1, "s"), "dims": (1, "s", WIDTH)}, "input_ids has a fixed batch of 1"),
        ({"shape": ("b", 128), "dims": ("b", 128, WIDTH)}, "input_ids has a fixed length of 128"),
        ({"shape": ("s",), "dims": ("s", WIDTH)}, r"input_ids has .*not \[batch, length\]"),
        ({"ids": TensorProto.INT32}, "input_ids is of the type .*32"),
        ({"dtype": TensorProto.FLOAT16}, "output last_hidden_state is of the type .*16"),
        ({"dtype": TensorProto.DOUBLE}, "output last_hidden_state is of the type .*64"),
        ({"output": "sentence_embedding"}, r"no output \"last_hidden_state\".*sentence_embedding"),
    ],
)
def test_what_cannot_be_fed_or_read_is_refused_when_it_is_opened(own_checkpoint, change, says):
    graph_of(own_checkpoint, **change)
    with pytest.raises(ModelFormatError, match=f"(?s){says}") as caught:
        FlagModel(str(own_checkpoint))
    assert "dense_vecs" not in str(caught.value)


def test_a_usable_graph_opens_and_agrees_with_its_table(own_checkpoint):
    graph_of(own_checkpoint)
    table = np.random.default_rng(0).normal(size=(3000, WIDTH)).astype(np.float32)
    model = FlagModel(str(own_checkpoint), normalize_embeddings=False)
    assert np.allclose(model.encode("text"), table[model.tokenizer.cls_token_id])


@pytest.mark.parametrize("hidden", [16, 33, 2**31 - 1])
def test_a_width_of_config_json_that_the_graph_does_not_have(own_checkpoint, hidden):
    graph_of(own_checkpoint)
    edit_json(own_checkpoint / "config.json", hidden_size=hidden)
    with pytest.raises(ModelFormatError, match=f"have {WIDTH} numbers, config.json says hidden_size {hidden}"):
        FlagModel(str(own_checkpoint))


def test_a_width_that_the_graph_does_not_declare_is_compared_before_anything_is_allocated(own_checkpoint):
    graph_of(own_checkpoint, dims=("b", "s", "width"))
    edit_json(own_checkpoint / "config.json", hidden_size=2**31 - 1)
    with pytest.raises(ModelFormatError, match="hidden_size 2147483647"):
        FlagModel(str(own_checkpoint)).encode([f"x {number}" for number in range(300)])


def test_a_graph_without_logits_is_no_reranker(own_checkpoint):
    graph_of(own_checkpoint)
    edit_json(own_checkpoint / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(ModelFormatError, match="embedder, not a reranker"):
        FlagReranker(str(own_checkpoint))


def test_variables_of_onnx_runtime_change_nothing(own_checkpoint):
    """Such as one that lets a graph's file choose the session's options."""
    graph_of(own_checkpoint, properties={"ort_config": '{"session_options": {"intra_op_num_threads": "many"}}'})
    program = "import sys; from bge_fast import FlagModel; print(FlagModel(sys.argv[1]).encode('text')[:4].tolist())"
    run = [sys.executable, "-c", program, str(own_checkpoint)]
    changed = {**os.environ, "ORT_LOAD_CONFIG_FROM_MODEL": "1", "ORT_DISABLE_FLASH_ATTENTION": "1"}
    outputs = [
        subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
        for environment in (os.environ, changed)
    ]
    assert outputs[0].returncode == 0, outputs[0].stderr
    assert outputs[0].stdout == outputs[1].stdout, outputs[1].stderr
