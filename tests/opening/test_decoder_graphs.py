"""Graphs of decoders for CUDA: their structure, and their numbers by ONNX Runtime's CPU operators and onnx's evaluator."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_model
from onnx.reference import ReferenceEvaluator

from bge_fast import (
    FlagICLModel,
    FlagLLMModel,
    FlagLLMReranker,
    LayerWiseFlagLLMReranker,
    LightWeightFlagLLMReranker,
    _core,
)
from bge_fast.opening.checkpoint import graph_sizes
from tests.support.checkpoints import checkpoint as folder_of
from tests.support.contrib import OPERATORS

EMBEDDERS = ("decoder-mistral", "decoder-qwen2", "decoder-qwen3", "decoder-gemma2")
RERANKERS = {
    "decoder-reranker-gemma": FlagLLMReranker,
    "decoder-reranker-llama": FlagLLMReranker,
    "decoder-layerwise": LayerWiseFlagLLMReranker,
    "decoder-lightweight": LightWeightFlagLLMReranker,
}
ALL = (*EMBEDDERS, *RERANKERS)
# Those whose heads the operator for groups takes: in steps of eight.
GROUPED = tuple(name for name in ALL if name != "decoder-mistral")
WORDS = "wing flow heat layer shock 机翼 Flügel données тело".split()
HALF = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}


def texts(count=20):
    """Some longer than the windows, some of one word."""
    random = np.random.default_rng(7)
    return [" ".join(random.choice(WORDS, int(random.integers(1, 60)))) for _ in range(count)]


def pairs():
    return [(query, passage) for query in texts(3) for passage in texts(5)]


def opened(name):
    folder = folder_of(name)
    files = sorted(str(path) for path in folder.glob("*.safetensors"))
    sizes = graph_sizes(name, json.loads((folder / "config.json").read_text()))
    outputs = ["last"] if name in EMBEDDERS else ["logits"]
    return files, outputs, _core.Checkpoint(files, sizes, outputs=outputs)


def graph_of(name, precision="fp32", cutoffs=(), compress=((), 1)):
    """The graph with its numbers in it; one of 16 bits with float32 in their place, so that a CPU computes it."""
    files, outputs, checkpoint = opened(name)
    model, folder = _loaded(checkpoint, outputs, precision, cutoffs, compress)
    if precision == "fp32":
        load_external_data_for_model(model, str(folder))
        return model
    tensors = _core.read_tensors(files)
    for one in model.graph.initializer:
        assert (one.data_type in HALF.values()) == bool(one.external_data)
        if one.external_data:
            one.CopyFrom(numpy_helper.from_array(tensors[one.name], one.name))
    for node in model.graph.node:
        if node.op_type == "Cast" and node.attribute[0].i in HALF.values():
            node.attribute[0].i = onnx.TensorProto.FLOAT
    return model


def _loaded(checkpoint, outputs, precision, cutoffs=(), compress=((), 1)):
    more = {"cutoffs": list(cutoffs), "compress": (list(compress[0]), compress[1])}
    graph, folder = checkpoint.graph(outputs, "plain", precision=precision, **more)
    return onnx.load_model_from_string(graph), folder


def on_the_cpu(model, graph, path):
    """The same object with a graph for CUDA in place of its own, fed as on CUDA."""
    onnx.save(graph, path)
    engine = model._open()
    engine.core = _core.Model(
        str(engine.files.folder),
        str(path),
        cuda=[],
        threads=1,
        low_memory=False,
        arithmetic="fp32",
        model_type=None,
        pad_id=0,
        dimension=engine.files.dimension,
        outputs=["logits" if graph.graph.output[0].name == "logits" else "last"],
        timeout=None,
        max_queue=None,
        deterministic=False,
    )
    return model


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", EMBEDDERS)
def test_vectors_are_those_of_the_cpus_own_graph(name, precision, tmp_path):
    """In fp32 attention is spelled out; in 16 bits it is one operator, which ONNX Runtime's CPU provider has in float32."""
    folder = str(folder_of(name))
    expected = FlagLLMModel(folder).encode(texts())
    model = on_the_cpu(FlagLLMModel(folder), graph_of(name, precision), tmp_path / "model.onnx")
    assert np.abs(model.encode(texts()) - expected).max() <= 1e-5
    assert np.abs(model.encode(texts()[0]) - expected[0]).max() <= 1e-5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", RERANKERS)
def test_scores_are_those_of_the_cpus_own_graph(name, precision, tmp_path):
    build, folder = RERANKERS[name], str(folder_of(name))
    layered = {"cutoff_layers": [2, 4, 6]} if "layer" in name or "light" in name else {}
    expected = np.array(build(folder, **layered).compute_score(pairs()))
    graph = graph_of(name, precision, layered.get("cutoff_layers", ()))
    word = build(folder).yes_loc if build is FlagLLMReranker else None
    if word is not None:
        _answer(graph, name, word)
    model = on_the_cpu(build(folder, **layered), graph, tmp_path / "model.onnx")
    assert np.abs(np.array(model.compute_score(pairs())) - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("layers", [(3,), (2, 5)])
@pytest.mark.parametrize("ratio", [2, 7])
def test_passages_get_shorter_as_on_the_cpu(ratio, layers, precision, tmp_path):
    folder = str(folder_of("decoder-lightweight"))
    asked = {"compress_layers": list(layers), "compress_ratio": ratio, "cutoff_layers": [4, 6]}
    expected = np.array(LightWeightFlagLLMReranker(folder, **asked).compute_score(pairs()))
    plain = np.array(LightWeightFlagLLMReranker(folder, cutoff_layers=[4, 6]).compute_score(pairs()))
    assert np.abs(expected - plain).max() > 1e-3
    graph = graph_of("decoder-lightweight", precision, [4, 6], (layers, ratio))
    model = on_the_cpu(LightWeightFlagLLMReranker(folder, **asked), graph, tmp_path / "model.onnx")
    found = np.array(model.compute_score(pairs()))
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    alone = np.array([model.compute_score([pair]) for pair in pairs()])[:, :, 0].T
    assert np.abs(alone - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def _answer(graph, name, word):
    """A checkpoint alone does not know what "Yes" is: that is the tokenizer's affair."""
    files, _, _ = opened(name)
    table = "lm_head.weight" if name.endswith("llama") else "model.embed_tokens.weight"
    row = _core.read_tensors(files, [table])[table][word]
    weights = next(one for one in graph.graph.initializer if one.name.endswith(".weights"))
    weights.CopyFrom(numpy_helper.from_array(row, weights.name))


def test_examples_are_tokens_like_others(tmp_path):
    folder = str(folder_of("decoder-mistral"))
    examples = [{"instruct": "Find it", "query": " ".join(texts()[:2]), "response": "of a wing"}]
    expected = FlagICLModel(folder, examples_for_task=examples).encode_queries(texts())
    model = FlagICLModel(folder, examples_for_task=examples)
    on_the_cpu(model, graph_of("decoder-mistral"), tmp_path / "model.onnx")
    assert np.abs(model.encode_queries(texts()) - expected).max() <= 1e-5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_evaluator_agrees(name, precision):
    """A second witness for operators: in numpy, of texts that are padded to the longest."""
    graph = graph_of(name, precision)
    model = FlagLLMModel(str(folder_of(name)), normalize_embeddings=False)
    ids = [model.tokenizer.encode(text) for text in texts(5)]
    found = ReferenceEvaluator(graph, new_ops=OPERATORS).run(None, inputs(ids, graph))[0]
    assert found.dtype == np.float32
    expected = model.encode(texts(5))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def inputs(ids, graph):
    lengths = np.array([len(text) for text in ids])
    longest = lengths.max()
    known = {
        "input_ids": np.array([[*text, *[0] * (longest - len(text))] for text in ids]),
        "places": np.arange(longest),
        "last_tokens": np.arange(len(ids)) * longest + lengths - 1,
        "last_places": np.full(len(ids), longest - 1),
        "length": np.array([longest]),
    }
    return {value.name: known[value.name].astype(np.int32) for value in graph.graph.input}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", ALL)
def test_the_checker_takes_it_and_types_are_where_they_belong(name, precision):
    _, outputs, checkpoint = opened(name)
    model, _ = _loaded(checkpoint, outputs, precision)
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    matrices = [one.name for one in model.graph.initializer if one.external_data]
    if precision in HALF:
        assert {kinds[one] for one in matrices} == {HALF[precision]}
    assert {kinds[one] for one in kinds if one not in matrices} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    assert {one.type.tensor_type.elem_type for one in model.graph.output} == {onnx.TensorProto.FLOAT}
    assert {one.type.tensor_type.elem_type for one in model.graph.input} == {onnx.TensorProto.INT32}
    operators = [node.op_type for node in model.graph.node]
    grouped = name in GROUPED and precision in HALF
    assert operators.count("GroupQueryAttention") == (grouped * (operators.count("RotaryEmbedding") // 2))
    for node in model.graph.node:
        # In ONNX Runtime it has no domain, and the checker knows it not.
        node.domain = "com.microsoft" if node.op_type == "SimplifiedLayerNormalization" else node.domain
    for one in model.graph.initializer:
        del one.external_data[:]
        one.data_location = onnx.TensorProto.DEFAULT
        if not (one.raw_data or one.float_data or one.int64_data):
            one.raw_data = bytes(int(np.prod(one.dims)) * {1: 4, 10: 2, 16: 2}[one.data_type])
    onnx.checker.check_model(model)


@pytest.mark.parametrize("name", GROUPED)
def test_onnx_runtime_computes_the_graph_of_16_bits(name):
    """Types and shapes fit together: its CPU provider has all of it in float16, or puts casts around."""
    files, outputs, checkpoint = opened(name)
    graph, folder = checkpoint.graph(outputs, "plain", precision="fp16")
    tensors = _core.read_tensors(files)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    model = onnx.load_model_from_string(graph)
    handed = [one.name for one in model.graph.initializer if one.external_data]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(tensors[one].astype(np.float16)) for one in handed]
    options.add_external_initializers(handed, values)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    ids = [list(range(5, 40)), list(range(9, 20)), [7]]
    found = session.run(None, inputs(ids, model))[0]
    exact = onnxruntime.InferenceSession(graph_of(name).SerializeToString(), providers=["CPUExecutionProvider"])
    expected = exact.run(None, inputs(ids, graph_of(name)))[0]
    assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("name", ALL)
def test_of_bfloat16_a_cpu_lacks_nothing_but_kernels(name):
    """Types are inferred before kernels are looked for."""
    _, outputs, checkpoint = opened(name)
    graph, folder = checkpoint.graph(outputs, "plain", precision="bf16")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    with pytest.raises(Exception, match=r"NOT_IMPLEMENTED.*(FusedMatMul|GroupQueryAttention|FastGelu|QuickGelu|Mul)"):
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
