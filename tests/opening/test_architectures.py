"""The rows of `ARCHITECTURES`, and what one row decides."""

import pytest

from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.opening.architectures import ARCHITECTURES, Encoder, architecture_of
from bge_fast.opening.checkpoint import graph_sizes

SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 50,
}


@pytest.mark.parametrize(
    ("model_type", "graph", "pad_id", "max_length", "token_types"),
    [
        ("bert", "bert", 0, 50, 2),
        ("xlm-roberta", "xlm-roberta", 1, 48, 1),
        ("roberta", "xlm-roberta", 1, 48, 2),
        ("camembert", "xlm-roberta", 1, 48, 2),
        ("mpnet", "mpnet", 1, 48, 1),
    ],
)
def test_what_a_configuration_leaves_open_is_the_rows(model_type, graph, pad_id, max_length, token_types):
    config = {"model_type": model_type, **SIZES}
    row = architecture_of("name", config)
    assert (row.padding(config), row.max_length("name", config)) == (pad_id, max_length)
    assert graph_sizes("name", config) == {
        **SIZES,
        "model_type": graph,
        "embedding_size": 32,
        "type_vocab_size": token_types,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    }


def test_distilbert_has_keys_of_its_own():
    config = {
        "model_type": "distilbert",
        "vocab_size": 100,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": 50,
        "activation": "relu",
        "layer_norm_eps": 1e-5,  # which transformers does not read
    }
    sizes = graph_sizes("name", config)
    assert {size: sizes[size] for size in SIZES} == SIZES
    assert (sizes["layer_norm_eps"], sizes["hidden_act"]) == (1e-12, "relu")
    with pytest.raises(UnsupportedModelError, match=r"activation 'mish' of config.json is not supported; .*silu"):
        graph_sizes("name", {**config, "activation": "mish"})
    with pytest.raises(ModelFormatError, match="n_heads 5 does not divide dim 32"):
        graph_sizes("name", {**config, "n_heads": 5})


def test_only_electra_has_narrower_embeddings():
    config = {**SIZES, "model_type": "electra"}
    assert graph_sizes("name", config)["embedding_size"] == 128
    assert graph_sizes("name", {**config, "embedding_size": 24})["embedding_size"] == 24
    with pytest.raises(UnsupportedModelError, match="embedding_size 24 .* only 32 is"):
        graph_sizes("name", {**config, "model_type": "bert", "embedding_size": 24})


def test_mpnet_pads_with_1_whatever_it_says():
    row = ARCHITECTURES["mpnet"]
    assert row.padding({"pad_token_id": 0}) == 1
    assert row.max_length("name", {**SIZES, "pad_token_id": 30}) == 48


@pytest.mark.parametrize(
    ("name", "computed"),
    [
        ("gelu", "gelu"),
        ("gelu_python", "gelu"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("relu", "relu"),
        ("silu", "silu"),
    ],
)
def test_activations_by_the_names_of_transformers(name, computed):
    assert graph_sizes("name", {**SIZES, "model_type": "bert", "hidden_act": name})["hidden_act"] == computed


def test_a_row_alone_adds_an_architecture(monkeypatch):
    row = Encoder("other", graph="bert", pad_id=3, positions_after_padding=True, renamed={"hidden_size": "dim"})
    monkeypatch.setitem(ARCHITECTURES, "other", row)
    config = {"model_type": "other", **SIZES, "dim": 64}
    assert graph_sizes("name", config)["hidden_size"] == 64
    assert graph_sizes("name", config)["model_type"] == "bert"
    assert architecture_of("name", config).max_length("name", config) == 46
    with pytest.raises(ModelFormatError, match="dim of config.json"):
        graph_sizes("name", {**config, "dim": "many"})


@pytest.mark.parametrize("model_type", ["qwen9", None, ["bert"]])
def test_an_architecture_without_a_row_is_refused(model_type):
    with pytest.raises(UnsupportedModelError, match=f"; supported are {', '.join(ARCHITECTURES)}$"):
        architecture_of("name", {"model_type": model_type})


def test_no_position_left_behind_the_padding():
    row, config = ARCHITECTURES["xlm-roberta"], {**SIZES, "pad_token_id": 60}
    with pytest.raises(ModelFormatError, match="none is left behind pad_token_id 60"):
        row.max_length("name", config)
