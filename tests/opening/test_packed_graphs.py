"""Graphs for CUDA, whose texts lie one behind the other: their structure, and their numbers by onnx's reference evaluator."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.external_data_helper import load_external_data_for_model
from onnx.reference import ReferenceEvaluator

from bge_fast import _core
from bge_fast.opening.checkpoint import graph_sizes
from bge_fast.opening.choice import WEIGHTS
from tests.support.checkpoints import checkpoint as folder_of
from tests.support.contrib import OPERATORS

EMBEDDERS = ("tiny-bert", "tiny-camembert", "tiny-distilbert", "tiny-electra", "tiny-roberta", "tiny-xlmr")
RERANKERS = ("tiny-reranker", "tiny-reranker-bert", "tiny-reranker-distilbert", "tiny-reranker-electra")
CASES = (
    *((name, (output,)) for name in EMBEDDERS for output in ("cls", "hidden_states", "mean")),
    *((name, ("logits",)) for name in RERANKERS),
    *(("tiny-m3", outputs) for outputs in (("cls",), ("cls", "sparse", "colbert"))),
)
HEADS = ("sparse_linear", "colbert_linear")
# The shortest there can be, the longest of the tiny models, and some between.
LENGTHS = (1, 60, 2, 17, 33, 1)


def opened(name):
    folder = folder_of(name)
    config = json.loads((folder / "config.json").read_text())
    files = [str(folder / file) for file in WEIGHTS if (folder / file).is_file()][:1]
    heads = [(head, str(folder / f"{head}.pt")) for head in HEADS if (folder / f"{head}.pt").is_file()]
    return config, _core.Checkpoint(files, graph_sizes(name, config), heads=heads)


def texts(config):
    """Ids, and the position of the first token."""
    draw = np.random.default_rng(3)
    first = 2 if config["model_type"] in ("xlm-roberta", "camembert", "roberta") else 0
    return [draw.integers(5, 300, length) for length in LENGTHS], first


def packed_inputs(ids, first, wanted):
    lengths = np.array([len(text) for text in ids])
    rows = np.arange(len(ids) * lengths.max()).reshape(len(ids), -1)
    real = np.arange(lengths.max()) < lengths[:, None]
    starts = np.concatenate([[0], lengths.cumsum()])
    known = {
        "input_ids": np.concatenate(ids),
        "position_ids": np.concatenate([np.arange(first, first + length) for length in lengths]),
        "token_type_ids": np.concatenate([np.arange(length) >= length // 2 for length in lengths]),
        "text_starts": starts,
        "token_offsets": np.concatenate([rows[real], rows[~real]]).reshape(rows.shape),
        "first_tokens": starts[:-1],
    }
    return {name: known[name].astype(np.int32) for name in wanted}


def padded(graph, folder, ids, first):
    """What ONNX Runtime's CPU operators give for each text alone."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}
    for text in ids:
        known = {
            "input_ids": text[None],
            "position_ids": np.arange(first, first + len(text))[None],
            "token_type_ids": (np.arange(len(text)) >= len(text) // 2)[None].astype(np.int64),
        }
        yield session.run(None, {name: values for name, values in known.items() if name in wanted})


@pytest.mark.parametrize("layout", ["packed", "few"])
@pytest.mark.parametrize(("name", "outputs"), CASES)
def test_a_packed_graph_gives_what_the_padded_one_gives(name, outputs, layout):
    config, checkpoint = opened(name)
    ids, first = texts(config)
    graph, folder = checkpoint.graph(list(outputs), layout)
    model = onnx.load_model_from_string(graph)
    load_external_data_for_model(model, str(folder))
    evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
    found = evaluator.run(None, packed_inputs(ids, first, [value.name for value in model.graph.input]))
    starts = np.cumsum([0, *LENGTHS])
    for place, alone in enumerate(padded(*checkpoint.graph(list(outputs), "plain"), ids, first)):
        for whole, one in zip(found, alone, strict=True):
            assert whole.dtype == np.float32
            of_tokens = whole.ndim == 3
            part = whole[:, starts[place] : starts[place + 1]] if of_tokens else whole[place : place + 1]
            expected = one if of_tokens or one.ndim == 2 else one.mean(axis=1)
            np.testing.assert_allclose(part, expected, atol=1e-5)


@pytest.mark.parametrize("layout", ["packed", "few"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("name", "outputs"), CASES)
def test_onnx_runtime_takes_all_of_it_but_for_the_kernel(name, outputs, half, layout):
    """Types and shapes fit together: a CPU lacks nothing but kernels."""
    _, checkpoint = opened(name)
    graph, folder = checkpoint.graph(list(outputs), layout, precision="fp16" if half else "fp32")
    model = onnx.load_model_from_string(graph)
    onnx.checker.check_graph(_without_data(model).graph, _context(model))
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    filled = [one for one in model.graph.initializer if one.external_data]
    if half:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(one.dims, np.float16)) for one in filled]
        options.add_external_initializers([one.name for one in filled], values)
    with pytest.raises(Exception, match=r"NOT_IMPLEMENTED.* for [\w.]*(PackedMultiHeadAttention|RestorePadding)"):
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def test_half_keeps_numbers_in_float16_and_puts_out_float32():
    _, checkpoint = opened("tiny-m3")
    model = onnx.load_model_from_string(checkpoint.graph(["cls", "sparse", "colbert"], "packed", precision="fp16")[0])
    kinds = {one.data_type for one in model.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    assert {one.type.tensor_type.elem_type for one in model.graph.output} == {onnx.TensorProto.FLOAT}
    assert {one.type.tensor_type.elem_type for one in model.graph.input} == {onnx.TensorProto.INT32}


def test_means_of_many_texts_are_made_where_the_texts_are_and_of_few_later():
    _, checkpoint = opened("tiny-bert")
    named = {}
    for layout in ("few", "packed", "plain"):
        model = onnx.load_model_from_string(checkpoint.graph(["mean"], layout)[0])
        named[layout] = [value.name for value in model.graph.output]
    assert named == {"few": ["last_hidden_state"], "packed": ["mean_vecs"], "plain": ["last_hidden_state"]}


def test_few_texts_take_one_product_where_many_take_three():
    _, checkpoint = opened("tiny-bert")
    nodes = {}
    for layout in ("few", "packed"):
        model = onnx.load_model_from_string(checkpoint.graph(["cls"], layout)[0])
        nodes[layout] = [node.op_type for node in model.graph.node]
    layers = nodes["few"].count("PackedMultiHeadAttention")
    assert (nodes["few"].count("Split"), nodes["packed"].count("Split")) == (layers, 0)
    assert nodes["packed"].count("Gemm") < nodes["packed"].count("FusedMatMul")
    assert nodes["packed"].count("FusedMatMul") - nodes["few"].count("FusedMatMul") == 2 * layers


def test_scores_by_distance_are_not_packed():
    _, checkpoint = opened("tiny-mpnet")
    assert not checkpoint.narrows_on_cuda
    with pytest.raises(Exception, match="cannot be packed"):
        checkpoint.graph(["cls"], "packed")


def _context(model):
    context = onnx.checker.DEFAULT_CONTEXT
    context.ir_version = model.ir_version
    context.opset_imports = {one.domain: one.version for one in model.opset_import}
    return context


def _without_data(model):
    """Weights in files of their own are not what the checker is asked about."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for one in changed.graph.initializer:
        if one.external_data:
            del one.external_data[:]
            one.data_location = onnx.TensorProto.DEFAULT
            one.raw_data = bytes(int(np.prod(one.dims)) * {1: 4, 10: 2, 11: 8, 16: 2}[one.data_type])
    return changed
