"""The rows of `ARCHITECTURES`, and what one row decides."""

import pytest

from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.opening.architectures import ARCHITECTURES, Architecture, architecture_of
from bge_fast.opening.checkpoint import encoder_sizes

SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 50,
}


@pytest.mark.parametrize(
    ("model_type", "pad_id", "max_length", "token_types"), [("bert", 0, 50, 2), ("xlm-roberta", 1, 48, 1)]
)
def test_what_a_configuration_leaves_open_is_the_rows(model_type, pad_id, max_length, token_types):
    config = {"model_type": model_type, **SIZES}
    row = architecture_of("name", config)
    assert (row.padding(config), row.max_length("name", config)) == (pad_id, max_length)
    assert encoder_sizes("name", config) == {
        **SIZES,
        "model_type": model_type,
        "type_vocab_size": token_types,
        "layer_norm_eps": 1e-12,
    }


def test_a_row_alone_adds_an_architecture(monkeypatch):
    row = Architecture("other", graph="bert", pad_id=3, positions_after_padding=True, renamed={"hidden_size": "dim"})
    monkeypatch.setitem(ARCHITECTURES, "other", row)
    config = {"model_type": "other", **SIZES, "dim": 64}
    assert encoder_sizes("name", config)["hidden_size"] == 64
    assert encoder_sizes("name", config)["model_type"] == "bert"
    assert architecture_of("name", config).max_length("name", config) == 46
    with pytest.raises(ModelFormatError, match="dim of config.json"):
        encoder_sizes("name", {**config, "dim": "many"})


@pytest.mark.parametrize("model_type", ["qwen2", None, ["bert"]])
def test_an_architecture_without_a_row_is_refused(model_type):
    with pytest.raises(UnsupportedModelError, match="supported are bert and xlm-roberta"):
        architecture_of("name", {"model_type": model_type})


def test_no_position_left_behind_the_padding():
    row, config = ARCHITECTURES["xlm-roberta"], {**SIZES, "pad_token_id": 60}
    with pytest.raises(ModelFormatError, match="none is left behind pad_token_id 60"):
        row.max_length("name", config)
