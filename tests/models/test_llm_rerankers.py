"""The decoder-only rerankers: what callers may pass, and what they are told."""

import json
import pickle
import shutil

import numpy as np
import pytest

from bge_fast import (
    DeviceError,
    FlagLLMReranker,
    FlagReranker,
    LayerWiseFlagLLMReranker,
    LightWeightFlagLLMReranker,
    ModelFormatError,
)
from tests.support.adapters import adapter, factors, lora
from tests.support.checkpoints import checkpoint, edit_json
from tests.support.malformed import change_tensors

PAIRS = [("what lifts a wing", "lower pressure above it"), ("热边界层", ""), ("", "a plate " * 90), ("a", "b")]
CLASSES = {
    "decoder-reranker-gemma": FlagLLMReranker,
    "decoder-reranker-llama": FlagLLMReranker,
    "decoder-layerwise": LayerWiseFlagLLMReranker,
    "decoder-lightweight": LightWeightFlagLLMReranker,
}


def opened(name: str, **options: object) -> FlagLLMReranker | LayerWiseFlagLLMReranker | LightWeightFlagLLMReranker:
    return CLASSES[name](str(checkpoint(name)), **options)


@pytest.fixture(scope="module", params=CLASSES)
def reranker(request):
    return opened(request.param)


@pytest.fixture(scope="module")
def layered():
    return opened("decoder-layerwise")


@pytest.fixture(scope="module")
def light():
    return opened("decoder-lightweight")


# ── what all have ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_list_of_floats_also_for_one_pair(reranker):
    scores = reranker.compute_score(PAIRS)
    assert all(type(score) is float for score in scores)
    assert len(scores) == 4
    for one in (PAIRS[0], list(PAIRS[0]), [PAIRS[0]], np.array([PAIRS[0]])):
        assert reranker.compute_score(one) == scores[:1]
    assert reranker.compute_score([]) == []
    assert reranker.compute_score(tuple(PAIRS), batch_size=1) == scores


def test_scores_are_normalized_on_demand(reranker):
    plain, mapped = np.array(reranker.compute_score(PAIRS)), np.array(reranker.compute_score(PAIRS, normalize=True))
    assert np.abs(1 / (1 + np.exp(-plain)) - mapped).max() < 1e-12


def test_instructions_and_prompt_are_there_unless_none_is_said(reranker):
    name = reranker.model_name_or_path.rsplit("/", 1)[-1]
    bare = opened(name, query_instruction_for_rerank=None, passage_instruction_for_rerank=None)
    pairs = [(f"A: {query}", f"B: {passage}") for query, passage in PAIRS]
    assert bare.compute_score(pairs) == reranker.compute_score(PAIRS)
    assert reranker.get_detailed_inputs(PAIRS[:1]) == [list(pairs[0])]
    assert reranker.compute_score_single_gpu(pairs) == reranker.compute_score(PAIRS)
    prompted = opened(name, prompt=reranker.DEFAULT_PROMPT)
    assert prompted.compute_score(PAIRS) == reranker.compute_score(PAIRS)
    assert prompted.compute_score(PAIRS, prompt="") != reranker.compute_score(PAIRS)


@pytest.mark.parametrize(
    ("pairs", "error", "said"),
    [
        ("hi", TypeError, "one pair is written"),
        ([("a", None)], TypeError, r"passage of pairs\[0\] is NoneType"),
        ([("a", "b"), ("a", "b", "c")], ValueError, r"pairs\[1\] has 3 texts"),
        ([("a",)], ValueError, r"pairs\[0\] has 1 texts"),
        ([("a", "\ud800")], ValueError, r"the passage of pairs\[0\]"),
    ],
)
def test_what_is_no_pair_is_refused(reranker, pairs, error, said):
    with pytest.raises(error, match=said):
        reranker.compute_score(pairs)


def test_keywords_of_other_classes_are_without_effect_and_unknown_ones_errors(reranker):
    scores = reranker.compute_score(PAIRS)
    assert reranker.compute_score(PAIRS, use_dataloader=True, num_workers=2, padding_side="left") == scores
    if isinstance(reranker, FlagLLMReranker):
        assert reranker.compute_score(PAIRS, cutoff_layers=[1], compress_ratio=2, compress_layers=[1]) == scores
    with pytest.raises(TypeError, match="topk"):
        reranker.compute_score(PAIRS, topk=3)
    with pytest.raises(ValueError, match="batch_size"):
        reranker.compute_score(PAIRS, batch_size=0)
    with pytest.raises(TypeError, match="prompt must be a str"):
        reranker.compute_score(PAIRS, prompt=3)


def test_no_length_is_too_small(reranker):
    assert len(reranker.compute_score(PAIRS, max_length=0)) == 4
    assert len(reranker.compute_score(PAIRS, max_length=1, query_max_length=0)) == 4


def test_passages_are_ranked(reranker):
    passages = [passage for _, passage in PAIRS]
    scores = reranker.compute_score([("lift", passage) for passage in passages])
    ranked = reranker.rank("lift", passages)
    assert [scores[place] for place, _ in ranked] == sorted(scores, reverse=True)
    assert reranker.rank("lift", passages, top_k=2) == ranked[:2]


def test_it_pickles(reranker):
    assert pickle.loads(pickle.dumps(reranker)).compute_score(PAIRS) == reranker.compute_score(PAIRS)
    with pytest.raises(DeviceError, match="no CUDA provider"):
        type(reranker)(reranker.model_name_or_path, devices=[0])
    assert not hasattr(reranker, "peft_path")


def test_what_another_class_opens_is_told_with_that_class():
    for wrong, name, right in (
        (FlagLLMReranker, "tiny-reranker", "FlagReranker"),
        (FlagLLMReranker, "decoder-layerwise", "LayerWiseFlagLLMReranker"),
        (FlagLLMReranker, "decoder-lightweight", "LightWeightFlagLLMReranker"),
        (LayerWiseFlagLLMReranker, "decoder-reranker-gemma", "FlagLLMReranker"),
        (LightWeightFlagLLMReranker, "decoder-layerwise", "LayerWiseFlagLLMReranker"),
        (FlagReranker, "decoder-reranker-gemma", "FlagLLMReranker"),
        (FlagReranker, "decoder-layerwise", "LayerWiseFlagLLMReranker"),
    ):
        with pytest.raises(ModelFormatError, match=rf"{name} is .*see {right}\b"):
            wrong(str(checkpoint(name)))
    with pytest.raises(ModelFormatError, match=r"lm_head\.weight"):
        FlagLLMReranker(str(checkpoint("decoder-mistral")))


# ── FlagLLMReranker ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_score_is_that_of_the_first_piece_of_yes():
    for name in ("decoder-reranker-gemma", "decoder-reranker-llama"):
        model = opened(name)
        pieces = model.tokenizer("Yes", add_special_tokens=False)["input_ids"]
        assert len(pieces) > 1
        assert model.yes_loc == pieces[0]


def test_a_first_token_that_is_the_padding_too_is_left_out(tmp_path):
    folder = shutil.copytree(checkpoint("decoder-reranker-llama"), tmp_path / "llama")
    edit_json(folder / "tokenizer_config.json", pad_token="<s>")
    alike, plain = FlagLLMReranker(str(folder)), opened("decoder-reranker-llama")
    assert (alike._first_token(), plain._first_token()) == (None, 1)
    assert alike.compute_score(PAIRS) != plain.compute_score(PAIRS)


def test_the_other_classes_need_a_first_token(tmp_path):
    folder = shutil.copytree(checkpoint("decoder-layerwise"), tmp_path / "layerwise")
    edit_json(folder / "tokenizer_config.json", pad_token="<s>")
    assert LayerWiseFlagLLMReranker(str(folder)).compute_score(PAIRS) == opened("decoder-layerwise").compute_score(
        PAIRS
    )
    edit_json(folder / "tokenizer_config.json", pad_token=None, bos_token=None)
    with pytest.raises(ModelFormatError, match="no bos_token"):
        LayerWiseFlagLLMReranker(str(folder)).compute_score(PAIRS)


# ── layers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_several_layers_give_a_list_for_each_ascending(layered):
    by_layer = layered.compute_score(PAIRS, cutoff_layers=[5, 2, 5])
    assert [len(scores) for scores in by_layer] == [4, 4]
    assert by_layer == [layered.compute_score(PAIRS, cutoff_layers=layer) for layer in (2, [5])]
    assert layered.compute_score(PAIRS[0], cutoff_layers=(2, 5)) == [by_layer[0][:1], by_layer[1][:1]]
    assert layered.compute_score([], cutoff_layers=[2, 5]) == [[], []]
    assert layered.compute_score(PAIRS) == layered.compute_score(PAIRS, cutoff_layers=np.int64(6))


def test_the_constructors_layers_are_live():
    model = opened("decoder-layerwise", cutoff_layers=[2, 3])
    assert len(model.compute_score(PAIRS)) == 2
    model.cutoff_layers = 3
    assert model.compute_score(PAIRS) == opened("decoder-layerwise").compute_score(PAIRS, cutoff_layers=3)


def test_layers_without_a_head_are_left_out_with_one_warning():
    model = opened("decoder-layerwise")
    with pytest.warns(UserWarning, match=r"no score after the layers \[1, 7\]"):
        scores = model.compute_score(PAIRS, cutoff_layers=[1, 4, 7])
    assert scores == model.compute_score(PAIRS, cutoff_layers=[4, 7])
    for none in ([], [1], 7, [-3]):
        with pytest.raises(ValueError, match=r"Your cutoff layers must in \[2, 6\]"):
            model.compute_score(PAIRS, cutoff_layers=none)
    for wrong in ("4", 4.5, [True], ["x"]):
        with pytest.raises(TypeError, match="cutoff_layers"):
            model.compute_score(PAIRS, cutoff_layers=wrong)


def test_ranking_is_by_one_layer(layered):
    with pytest.raises(ValueError, match=r"one layer; cutoff_layers are \[2, 3\]"):
        layered.rank("a", ["b"], cutoff_layers=[2, 3])
    assert layered.rank("a", ["b"], cutoff_layers=2)[0].score == layered.compute_score(("a", "b"), cutoff_layers=2)[0]


def test_lightweight_heads_go_by_place(light):
    """FlagEmbedding's: the score of a layer depends on which others are asked for."""
    alone, both = light.compute_score(PAIRS, cutoff_layers=[4]), light.compute_score(PAIRS, cutoff_layers=[2, 4])
    assert np.abs(np.array(alone) - both[1]).min() > 1e-3


def test_compression(light):
    plain = light.compute_score(PAIRS)
    shorter = light.compute_score(PAIRS, compress_ratio=2, compress_layers=[3])
    assert abs(shorter[2] - plain[2]) > 1e-4
    assert light.compute_score(PAIRS, compress_ratio=2, compress_layers=3) == shorter
    assert light.compute_score(PAIRS, compress_ratio=2, compress_layers=(3, 3)) == shorter
    assert light.compute_score(PAIRS, compress_ratio=2, compress_layers=[1], compress_layer=[3]) == shorter
    for without in ({"compress_layers": [3]}, {"compress_ratio": 2}, {"compress_ratio": 2, "compress_layers": []}):
        assert light.compute_score(PAIRS, **without) == plain
    assert light.compute_score(PAIRS, compress_ratio=2, compress_layers=[-1, 0, 6, 99]) == plain
    for ratio in (0, -1):
        with pytest.raises(ValueError, match="compress_ratio"):
            light.compute_score(PAIRS, compress_ratio=ratio)
    with pytest.raises(TypeError, match="compress_ratio"):
        light.compute_score(PAIRS, compress_ratio=2.5)
    assert LightWeightFlagLLMReranker.__init__.__defaults__[11] == [8]


# ── adapters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_heads_of_another_kind_are_refused(tmp_path):
    folder = shutil.copytree(checkpoint("decoder-layerwise"), tmp_path / "complex")
    edit_json(folder / "config.json", head_type="complex")
    with pytest.raises(NotImplementedError, match="head_type"):
        LayerWiseFlagLLMReranker(str(folder))


@pytest.mark.parametrize("named", ["model.", "", "lm_head"])
def test_an_adapter_is_merged(tmp_path, named):
    """Whatever its base was called when it was trained; with ``lm_head`` it changes a head too, as a whole."""
    name = "decoder-lightweight" if named == "lm_head" else "decoder-reranker-gemma"
    tensor, shape = "layers.0.self_attn.q_proj.weight", (64, 32)
    first, second = factors(shape)
    heads = {"lm_head.0.linear_head.weight": np.full((1, 32), 0.5, np.float32)} if named == "lm_head" else {}
    prefix = "model." if named else ""
    folder = adapter(tmp_path / "lora", "a/base-that-is-elsewhere", {**lora(f"{prefix}{tensor}", shape), **heads})

    def add(tensors: dict[str, np.ndarray]) -> None:
        tensors[f"model.{tensor}"] = (tensors[f"model.{tensor}"] + np.float32(2) * (second @ first)).astype(np.float32)
        tensors.update(heads)

    by_hand = shutil.copytree(checkpoint(name), tmp_path / "by-hand")
    change_tensors(by_hand, add)
    scores = opened(name, peft_path=folder).compute_score(PAIRS)
    assert np.allclose(scores, CLASSES[name](str(by_hand)).compute_score(PAIRS), atol=1e-6)
    assert not np.allclose(scores, opened(name).compute_score(PAIRS), atol=1e-3)


def test_an_adapter_that_is_not_there_is_told(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 4}))
    with pytest.raises(FileNotFoundError, match="peft_path 'nowhere'"):
        opened("decoder-reranker-gemma", peft_path="nowhere")
    with pytest.raises(FileNotFoundError, match="no weights"):
        opened("decoder-reranker-gemma", peft_path=str(tmp_path))
