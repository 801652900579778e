"""What the files beside tokenizer.json add and override: ids as transformers gives them."""

import json
import shutil

import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.errors import ModelFormatError
from tests.support.checkpoints import ROOT, checkpoint, edit_json
from tests.support.malformed import read_safetensors, safetensors
from tests.support.tokenizers import CASES, make, token

GOLDEN = json.loads((ROOT / "tests" / "data" / "golden" / "tokenizers.json").read_text())
MAX_LENGTH = 8


@pytest.mark.parametrize("name", CASES)
def test_ids_are_those_of_transformers(name, tmp_path):
    texts, wanted = CASES[name][2], GOLDEN[name]
    tokenizer = FlagModel(str(make(name, tmp_path / "model"))).tokenizer
    assert [tokenizer(text)["input_ids"] for text in texts] == wanted["whole"]
    assert [tokenizer(text, max_length=MAX_LENGTH)["input_ids"] for text in texts] == wanted["cut"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"added_tokens_decoder": []}, "tokenizer_config.json"),
        ({"added_tokens_decoder": {"x": token("a")}}, "tokenizer_config.json"),
        ({"added_tokens_decoder": {"7": {"special": True}}}, "content"),
        ({"added_tokens_decoder": {"7": token("a") | {"lstrip": 1}}}, "lstrip"),
        ({"additional_special_tokens": "<a>"}, "additional_special_tokens"),
        ({"mask_token": 7}, "special token"),
        ({"do_lower_case": None}, "do_lower_case"),
        ({"truncation_side": "both"}, "truncation_side"),
        ({"model_input_names": "input_ids"}, "model_input_names"),
    ],
)
def test_odd_values_are_named(own_checkpoint, changes, named):
    edit_json(own_checkpoint / "tokenizer_config.json", **changes)
    with pytest.raises(ModelFormatError, match=named):
        FlagModel(str(own_checkpoint))


@pytest.fixture
def reranker_folder(tmp_path):
    return shutil.copytree(checkpoint("tiny-reranker-bert"), tmp_path / "reranker")


WITHOUT_TYPES = ["input_ids", "attention_mask"]
WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]


@pytest.mark.parametrize(
    ("changes", "typed"),
    [
        ({}, True),
        ({"model_input_names": WITH_TYPES}, True),
        ({"model_input_names": WITHOUT_TYPES}, False),
        ({"tokenizer_class": "ElectraTokenizer"}, True),
        ({"tokenizer_class": "DistilBertTokenizer"}, False),
        ({"tokenizer_class": "TokenizersBackend"}, False),
        ({"tokenizer_class": "TokenizersBackend", "model_input_names": WITH_TYPES}, True),
        ({"tokenizer_class": "XLMRobertaTokenizer", "model_input_names": WITH_TYPES}, False),
    ],
)
def test_pairs_have_types_where_the_tokenizer_gives_them(reranker_folder, changes, typed):
    edit_json(reranker_folder / "tokenizer_config.json", **changes)
    model = FlagReranker(str(reranker_folder))
    ids, types = model._open().core.tokenize_pair("heat transfer", "wing", 8, 16)
    assert list(types) == [int(typed and place > ids.index(3)) for place in range(len(ids))]
    (own,) = model.compute_score([["heat transfer", "wing"]])
    (plain,) = FlagReranker(str(checkpoint("tiny-reranker-bert"))).compute_score([["heat transfer", "wing"]])
    assert (abs(own - plain) < 1e-6) == typed


def one_type(folder):
    """Leave one row in the table of token types."""
    path = folder / "model.safetensors"
    weights = read_safetensors(path)
    name = next(name for name in weights if "token_type" in name)
    path.write_bytes(safetensors({**weights, name: weights[name][:1]}))
    edit_json(folder / "config.json", type_vocab_size=1)


def test_a_model_of_one_type_scores_pairs_without_types(reranker_folder):
    edit_json(reranker_folder / "tokenizer_config.json", model_input_names=WITHOUT_TYPES)
    wanted = FlagReranker(str(reranker_folder)).compute_score([["heat transfer", "wing"], ["", "flow"]])
    one_type(reranker_folder)
    assert FlagReranker(str(reranker_folder)).compute_score([["heat transfer", "wing"], ["", "flow"]]) == wanted


def test_a_model_of_one_type_refuses_pairs_with_types(reranker_folder):
    one_type(reranker_folder)
    with pytest.raises(ModelFormatError, match=r"type_vocab_size.*model_input_names"):
        FlagReranker(str(reranker_folder))


def test_pairs_of_a_class_without_a_template_have_no_special_tokens(reranker_folder):
    """transformers 4 keeps room for them all the same."""
    edit_json(
        reranker_folder / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        model_input_names=WITHOUT_TYPES,
    )
    tokenize_pair = FlagReranker(str(reranker_folder))._open().core.tokenize_pair
    bare, types = tokenize_pair("heat transfer flow", "wing flow in wings", 8, 8)
    assert bare == [2313, 2923, 2308, 1883, 2337]
    assert list(types) == [0] * 5


def test_a_text_of_no_tokens_is_named(own_checkpoint):
    stored = json.loads((own_checkpoint / "tokenizer.json").read_text())
    edit_json(own_checkpoint / "tokenizer.json", **{**stored, "post_processor": None})
    edit_json(own_checkpoint / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    model = FlagModel(str(own_checkpoint))
    with pytest.raises(ValueError, match=r"texts\[1\] has no tokens"):
        model.encode(["wing", ""])
    assert model.encode(["wing"]).shape == (1, 32)
