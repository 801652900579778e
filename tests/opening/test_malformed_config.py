"""Malformed `config.json`, and values of it that ask for another model: refused by name, never guessed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bge_fast import FlagModel
from bge_fast.commands.doctor.tiny_model import write_tiny_model
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from tests.support.checkpoints import edit_json
from tests.support.malformed import Cases, refused

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
cases = Cases()

UNSUPPORTED: list[tuple[str, Any]] = [
    ("hidden_act", "gelu_fast"),
    ("hidden_act", "quick_gelu"),
    ("hidden_act", "gelu_10"),
    ("hidden_act", "tanh"),
    ("hidden_act", "gelu_tanh"),
    ("hidden_act", None),
    ("hidden_act", ["gelu"]),
    ("position_embedding_type", "relative_key"),
    ("position_embedding_type", "relative_key_query"),
    ("position_embedding_type", "rotary"),
    ("is_decoder", True),
    ("is_decoder", "yes"),
    ("add_cross_attention", True),
    ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    ("adapters", {"adapters": {}}),
    ("embedding_size", 128),
    ("pruned_heads", {"0": [1, 2]}),
    ("relative_attention_num_buckets", 64),
]


@pytest.mark.parametrize(("key", "value"), UNSUPPORTED)
def test_values_that_ask_for_another_model_are_refused_by_name(own_checkpoint, key, value):
    edit_json(own_checkpoint / "config.json", **{key: value})
    refused(own_checkpoint, UnsupportedModelError, rf"checkpoint: {key} .* of config\.json is not supported; ")


@pytest.mark.parametrize("value", ["qwen9", "deberta-v2", "roformer", "BERT", "", None, 7, ["bert"], {"a": "b" * 2000}])
def test_other_architectures_are_refused_by_name(own_checkpoint, value):
    edit_json(own_checkpoint / "config.json", model_type=value)
    refused(own_checkpoint, UnsupportedModelError, "has the architecture .*; supported are bert, xlm-roberta, ")


WRONG_SIZES = [0, -1, 1e30, float("nan"), float("inf"), "32", 32.0, True, [32], {}, 2**31, 10**400, "x" * 5000]


@pytest.mark.parametrize("value", WRONG_SIZES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("key", SIZES)
def test_sizes_that_are_none_are_refused_by_name(own_checkpoint, key, value):
    edit_json(own_checkpoint / "config.json", **{key: value})
    refused(own_checkpoint, ModelFormatError, rf"^{key} of config\.json must be a whole number of at least 1, found ")


@pytest.mark.parametrize("value", ["missing", None])
@pytest.mark.parametrize("key", SIZES[:5])
def test_sizes_that_are_missing_are_refused_by_name(own_checkpoint, key, value):
    config = json.loads((own_checkpoint / "config.json").read_text())
    del config[key]
    (own_checkpoint / "config.json").write_text(json.dumps(config if value else {**config, key: None}))
    refused(own_checkpoint, ModelFormatError, rf"^config\.json does not say {key}$")


@pytest.mark.parametrize(
    "value", [0, 0.0, -1e-12, 1, 2.5, 1e30, float("nan"), float("inf"), "1e-12", True, [], "x" * 5000]
)
def test_epsilons_that_are_none_are_refused(own_checkpoint, value):
    edit_json(own_checkpoint / "config.json", layer_norm_eps=value)
    refused(own_checkpoint, ModelFormatError, r"layer_norm_eps of config\.json must lie between 0 and 1, found ")


@pytest.mark.parametrize("value", [-1, 1.5, "0", float("nan"), 2**31])
def test_padding_ids_that_are_none_are_refused(own_checkpoint, value):
    edit_json(own_checkpoint / "config.json", pad_token_id=value)
    refused(
        own_checkpoint, ModelFormatError, r"^pad_token_id of config\.json must be a whole number of at least 0, found "
    )


@cases(ModelFormatError, r"num_attention_heads 5 does not divide hidden_size 32 in config\.json")
def heads_that_do_not_divide(folder: Path) -> None:
    edit_json(folder / "config.json", num_attention_heads=5)


@cases(ModelFormatError, r"num_attention_heads 64 does not divide hidden_size 32")
def more_heads_than_numbers(folder: Path) -> None:
    edit_json(folder / "config.json", num_attention_heads=64)


@cases(ModelFormatError, "is a reranker .*BertForSequenceClassification.*FlagReranker")
def a_reranker(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=["BertForSequenceClassification"])


@cases(ModelFormatError, "is a reranker")
def a_class_name_of_10_kb_and_an_escape(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=["\x1b[2J" + "x" * 10_000 + "ForSequenceClassification"])


@cases(ModelFormatError, "architectures")
def architectures_that_are_a_number(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=5)


@cases(ModelFormatError, r"config\.json cannot be read")
def config_that_is_cut_off(folder: Path) -> None:
    (folder / "config.json").write_text((folder / "config.json").read_text()[:100])


@cases(ModelFormatError, r"config\.json cannot be read")
def config_that_is_not_utf8(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"model_type": "b\xe9rt"}')


@cases(ModelFormatError, r"config\.json cannot be read")
def config_of_100_000_levels(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


@cases(ModelFormatError, r"config\.json holds no JSON object")
def config_that_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


@cases(ModelFormatError, r"config\.json cannot be read")
def config_that_is_empty(folder: Path) -> None:
    (folder / "config.json").write_text("")


@cases(ModelFormatError, r"config\.json cannot be read: it has more than 64 MB")
def config_of_a_terabyte(folder: Path) -> None:
    os.truncate(folder / "config.json", 1 << 40)


@cases(ModelNotFoundError, r"has no config\.json, so it is neither")
def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@cases(ModelFormatError, "of max_position_embeddings 512 in config.json none is left behind pad_token_id 600")
def an_xlm_roberta_whose_padding_id_takes_all_positions(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="xlm-roberta", pad_token_id=600, type_vocab_size=2)


@cases(ModelFormatError, r"pad_token_id 3000 of config\.json is not below vocab_size 3000")
def a_padding_id_beyond_the_word_table(folder: Path) -> None:
    edit_json(folder / "config.json", pad_token_id=3000)


@cases(ModelFormatError, r"1_Pooling/config\.json cannot be read")
def a_pooling_file_that_is_cut_off(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text("{")


@cases(ModelFormatError, r"special_tokens_map\.json cannot be read.*expected a map")
def special_tokens_that_are_a_list(folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text("[]")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("spoil", "error", "said"), cases)
def test_malformed_configurations_are_refused(own_checkpoint, spoil, error, said):
    spoil(own_checkpoint)
    refused(own_checkpoint, error, said)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("precision", []),
        ("precision", None),
        ("precision", 16),
        ("parity", 5),
        ("parity", {"max_abs": "small"}),
        ("parity", {"max_abs": []}),
    ],
)
def test_odd_facts_of_a_graph_name_the_key(tmp_path, key, value):
    folder = write_tiny_model(tmp_path / "tiny")
    files = {
        name: {"size": (folder / name).stat().st_size} for name in ("config.json", "tokenizer.json", "onnx/model.onnx")
    }
    graph = {"precision": "fp32", "parity": {"max_abs": 1e-6}}
    for facts in (graph, {**graph, key: value}):
        manifest = {"format": 1, "source": {}, "files": files, "graphs": {"onnx/model.onnx": facts}}
        (folder / "bge_fast.json").write_text(json.dumps(manifest))
        if facts is graph:
            FlagModel(str(folder), pooling_method="mean").encode("doctor")
    with pytest.raises(ModelFormatError, match=f"'{key}' of onnx/model.onnx in bge_fast.json"):
        FlagModel(str(folder))
