"""`FlagLLMModel` and `FlagICLModel`: what callers may pass, and what they are told."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest

from bge_fast import (
    BGEM3FlagModel,
    DeviceError,
    FlagICLModel,
    FlagLLMModel,
    FlagModel,
    ModelFormatError,
    ModelNotFoundError,
)
from bge_fast.runtime.devices import CPU, Device
from tests.support.checkpoints import checkpoint, edit_json

TEXTS = ["the boundary layer of a wing", "", "热边界层", "heat transfer " * 30]
EMBEDDERS = ("decoder-mistral", "decoder-qwen2", "decoder-qwen3", "decoder-gemma2")
EXAMPLES = [{"instruct": "Find it", "query": "lift", "response": "of a wing"}]


@pytest.fixture(scope="module")
def qwen() -> FlagLLMModel:
    return FlagLLMModel(str(checkpoint("decoder-qwen3")))


@pytest.fixture
def icl() -> FlagICLModel:
    return FlagICLModel(str(checkpoint("decoder-mistral")))


# ── FlagLLMModel ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", EMBEDDERS)
def test_shapes_and_lengths(name):
    model = FlagLLMModel(str(checkpoint(name)))
    vectors = model.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((4, 32), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(model.encode(TEXTS[0]), vectors[0])
    assert model.encode([]).shape == (0, 32)
    assert model.encode(np.array(TEXTS)).shape == (4, 32)
    assert model.encode_corpus(TEXTS, batch_size=1).shape == (4, 32)
    assert FlagLLMModel(str(checkpoint(name)), truncate_dim=5).encode(TEXTS).shape == (4, 5)


def test_instructions_are_applied_by_the_class_s_format(qwen):
    model = FlagLLMModel(str(checkpoint("decoder-qwen3")), query_instruction_for_retrieval="Find it")
    assert np.array_equal(model.encode_queries("lift"), qwen.encode("Instruct: Find it\nQuery: lift"))
    assert np.array_equal(model.encode_corpus("lift"), qwen.encode("lift"))
    assert np.array_equal(qwen.encode_queries("lift"), qwen.encode("lift"))


def test_another_pooling_is_refused_before_any_file_is_read():
    with pytest.raises(ValueError, match="Pooling method must be 'last_token' for LLM-based models."):
        FlagLLMModel("no/such-model", pooling_method="cls")
    assert FlagLLMModel(str(checkpoint("decoder-qwen3")), pooling_method="last_token").pooling_method == "last_token"


def test_a_text_without_a_token_is_named(tmp_path):
    folder = shutil.copytree(checkpoint("decoder-qwen3"), tmp_path / "bare")
    stored = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**stored, "post_processor": None}))
    with pytest.raises(ValueError, match=r"texts\[1\] has no tokens"):
        FlagLLMModel(str(folder)).encode(["one", ""])


@pytest.mark.parametrize("texts", [[("a", "b")], None, [1], [b"x"], ["a", None]])
def test_what_is_no_text_is_a_type_error(qwen, texts):
    with pytest.raises(TypeError):
        qwen.encode(texts)


def test_calls_refuse_what_has_no_meaning(qwen):
    for keyword in ("add_special_tokens", "return_token_type_ids", "around", "instruction"):
        with pytest.raises(TypeError, match=keyword):
            qwen.encode_queries("one", **{keyword: True})
    with pytest.raises(TypeError, match="around"):
        qwen.encode("one", around=("a", "b"))
    assert qwen.encode("one", padding_side="left", pad_to_multiple_of=8).shape == (32,)
    with pytest.raises(ValueError, match="batch_size"):
        qwen.encode("one", batch_size=0)
    with pytest.raises(ValueError, match=r"texts\[1\]"):
        qwen.encode(["one", "\ud800"])


def test_lengths_above_the_limit_are_lowered_with_one_warning():
    with pytest.warns(UserWarning, match="query_max_length=9000 is lowered to 640"):
        model = FlagLLMModel(str(checkpoint("decoder-qwen2")), passage_max_length=9000, query_max_length=9000)
    assert model.encode("word " * 3000).shape == (32,)


def test_it_pickles_and_tells_about_itself(qwen):
    copy = pickle.loads(pickle.dumps(qwen))
    assert np.array_equal(copy.encode(TEXTS), qwen.encode(TEXTS))
    info = qwen.info()
    assert (info["pooling_method"], info["device"], info["architecture"]) == ("last_token", "cpu", "qwen3")
    assert qwen.model.config.head_dim == 16


def test_a_gpu_that_cannot_be_had_is_an_error_never_the_cpu():
    for devices in ("cuda:0", [0, 1]):
        with pytest.raises(DeviceError, match=r'no CUDA provider.*pip install "bge-fast\[gpu\]"'):
            FlagLLMModel(str(checkpoint("decoder-qwen3")), devices=devices)


@pytest.mark.parametrize(
    ("asked", "on_cuda", "on_the_cpu"),
    [
        ({}, ("fp16", "fp32"), ("fp32",)),
        ({"use_bf16": True}, ("bf16",), ("fp32",)),
        ({"use_fp16": False}, ("fp32",), ("fp32",)),
        ({"use_fp16": False, "use_bf16": True}, ("bf16",), ("fp32",)),
        ({"precision": "fp32", "use_bf16": True}, ("fp32",), ("fp32",)),
    ],
)
def test_what_is_computed_in_by_device(asked, on_cuda, on_the_cpu):
    options = FlagLLMModel(str(checkpoint("decoder-qwen3")), devices="cpu", **asked)._engine_options
    assert options.computations(Device((0,))) == on_cuda
    assert options.computations(CPU) == on_the_cpu
    encoder = replace(options, family="encoder").computations(Device((0,)))
    assert encoder == (("fp32",) if asked else ("fp16", "fp32"))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_integers_are_for_the_cpu(precision):
    options = FlagLLMModel(str(checkpoint("decoder-qwen3")), precision=precision)._engine_options
    with pytest.raises(ValueError, match=r'is for the CPU; on CUDA devices use "fp16" or "bf16" or "fp32"'):
        options.computations(Device((0,)))


def test_what_another_class_opens_is_told_with_that_class(tmp_path):
    for wrong, name, right in (
        (FlagLLMModel, "tiny-bert", "FlagModel"),
        (FlagLLMModel, "tiny-m3", "BGEM3FlagModel"),
        (FlagLLMModel, "tiny-reranker", "FlagReranker"),
        (FlagLLMModel, "decoder-layerwise", "LayerWiseFlagLLMReranker"),
        (FlagICLModel, "decoder-lightweight", "LightWeightFlagLLMReranker"),
        (FlagModel, "decoder-qwen3", "FlagLLMModel"),
        (BGEM3FlagModel, "decoder-qwen3", "FlagLLMModel"),
    ):
        with pytest.raises(ModelFormatError, match=rf"{name} .*see {right}\b"):
            wrong(str(checkpoint(name)))
    with pytest.raises(ModelNotFoundError):
        FlagLLMModel(str(tmp_path))


def test_a_declared_last_token_pooling_is_no_mismatch(tmp_path, recwarn):
    folder = shutil.copytree(checkpoint("decoder-qwen3"), tmp_path / "qwen")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_lasttoken": True}))
    assert FlagLLMModel(str(folder)).info()["declared_pooling"] == "last_token"
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    [
        ("decoder-mistral", {"add_eos_token": False}, "says add_eos_token=False, and tokenizer.json adds </s>"),
        ("decoder-gemma2", {"add_bos_token": False}, "says add_bos_token=False, and tokenizer.json adds <bos>"),
        ("decoder-qwen3", {"add_bos_token": True}, "says add_bos_token=True, and tokenizer.json adds no bos_token"),
        ("decoder-mistral", {"add_bos_token": True, "add_eos_token": None}, None),
    ],
)
def test_flags_that_contradict_the_tokenizer_are_told_and_without_effect(tmp_path, recwarn, name, flags, said):
    folder = shutil.copytree(checkpoint(name), tmp_path / name)
    edit_json(folder / "tokenizer_config.json", **flags)
    vectors = FlagLLMModel(str(folder)).encode(TEXTS)
    warned = [str(one.message) for one in recwarn.list]
    assert [said in one for one in warned] == ([True] if said else [])
    assert np.array_equal(vectors, FlagLLMModel(str(checkpoint(name))).encode(TEXTS))


# ── FlagICLModel ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_passages_have_neither_examples_nor_suffix(icl):
    plain = FlagLLMModel(str(checkpoint("decoder-mistral")))
    icl.set_examples(EXAMPLES)
    assert np.array_equal(icl.encode(TEXTS), plain.encode(TEXTS))
    assert np.array_equal(icl.encode_corpus(TEXTS), plain.encode(TEXTS))
    assert not np.allclose(icl.encode_queries(TEXTS), plain.encode(TEXTS), atol=1e-2)


def test_examples_make_the_prefix(icl):
    assert (icl.prefix, icl.suffix, icl.query_pool) == ("", "\n<response>", None)
    icl.set_examples([{}])
    assert icl.prefix == "<instruct>None\n<query>\n<response>\n\n"
    icl.set_examples([])
    assert icl.prefix == "\n\n"
    icl.query_instruction_for_retrieval = "Find it"
    icl.set_examples([{"query": "lift"}, *EXAMPLES])
    assert icl.prefix == (
        "<instruct>Find it\n<query>lift\n<response>\n\n<instruct>Find it\n<query>lift\n<response>of a wing\n\n"
    )
    assert icl.examples_for_task is None
    icl.set_examples()
    assert icl.prefix == ""


def test_examples_of_the_constructor_come_back(icl):
    model = FlagICLModel(str(checkpoint("decoder-mistral")), examples_for_task=EXAMPLES)
    first = model.prefix
    model.set_examples([{"query": "other"}])
    assert model.prefix != first
    model.set_examples()
    assert model.prefix == first
    icl.set_examples(EXAMPLES)
    assert np.array_equal(icl.encode_queries(TEXTS), model.encode_queries(TEXTS))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).encode_queries(TEXTS), model.encode_queries(TEXTS))


def test_line_feeds_may_be_typed_in_formats_and_not_in_the_suffix():
    model = FlagICLModel(
        str(checkpoint("decoder-mistral")),
        query_instruction_format="{}\\n{}",
        examples_instruction_format="{}\\n{}\\n{}",
        suffix="\\n",
        examples_for_task=EXAMPLES,
    )
    assert (model.query_instruction_format, model.examples_instruction_format) == ("{}\n{}", "{}\n{}\n{}")
    assert (model.prefix, model.suffix) == ("Find it\nlift\nof a wing\n\n", "\\n")
    assert model.get_detailed_example("{}\\n{}{}", "a", "b", "c") == "a\nbc"


def test_a_query_that_leaves_no_room_is_refused_with_the_least_length(icl):
    assert icl.encode_queries("lift", max_length=5).shape == (32,)
    with pytest.raises(ValueError, match="max_length 4 is too short for a query: 5 tokens"):
        icl.encode_queries("lift", max_length=4)


def test_wrong_examples_are_told_before_any_file_is_read():
    with pytest.raises(TypeError, match=r"examples_for_task\[1\] is str"):
        FlagICLModel("no/such-model", examples_for_task=[{}, "lift"])
    with pytest.raises(ValueError, match="examples format"):
        FlagICLModel("no/such-model", examples_for_task=[{}], examples_instruction_format="{}{}{}{}")
    with pytest.raises(TypeError, match="suffix"):
        FlagICLModel("no/such-model", suffix=None)
    with pytest.raises(ValueError, match="query_instruction_format"):
        FlagICLModel("no/such-model", query_instruction_format=3)


def test_queries_of_any_shape(icl):
    assert icl.encode_queries(("one", "two")).shape == (2, 32)
    assert icl.encode_queries([]).shape == (0, 32)
    assert icl.encode_queries("one").shape == (32,)
    assert np.array_equal(icl.encode_queries_single_device(["one"], device="cpu"), icl.encode_queries(["one"]))
    with pytest.raises(ValueError, match="cuda:1"):
        icl.encode_queries_single_device(["one"], device="cuda:1")
    icl.stop_self_query_pool()


def test_a_model_that_sees_both_ways_is_refused(tmp_path):
    folder = shutil.copytree(checkpoint("decoder-qwen2"), tmp_path / "gte-Qwen2")
    edit_json(folder / "config.json", is_causal=False)
    with pytest.raises(NotImplementedError, match="is_causal"):
        FlagLLMModel(str(folder))
