"""`FlagAutoModel` and `FlagAutoReranker`: the class, pooling and format that a model's name stands for."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bge_fast
from bge_fast import (
    AUTO_EMBEDDER_MAPPING,
    AUTO_RERANKER_MAPPING,
    AbsEmbedder,
    AbsReranker,
    BGEM3FlagModel,
    EmbedderModelClass,
    FlagAutoModel,
    FlagAutoReranker,
    FlagModel,
    FlagReranker,
    RerankerModelClass,
    UnsupportedModelError,
)
from bge_fast.known import EMBEDDERS, KNOWN_MODELS, KnownModel, known_model, known_reranker, table_name
from tests.support.checkpoints import checkpoint, edit_json

E5 = ("e5-{}-v2", "e5-{}", "multilingual-e5-{}")
SIZES = ("large", "base", "small")
INSTRUCT, BGE_LLM = "Instruct: {}\nQuery: {}", "<instruct>{}\n<query>{}"
MISTRAL = ("e5-mistral-7b-instruct", "SFR-Embedding-2_R", "SFR-Embedding-Mistral", "Linq-Embed-Mistral")
GTE_QWEN = ("gte-Qwen2-7B-instruct", "gte-Qwen2-1.5B-instruct", "gte-Qwen1.5-7B-instruct")
NOTED = ("gte-multilingual-base", "gte-large-en-v1.5", "gte-base-en-v1.5")

# Class, pooling and query format of each name, written out from the contract's table 4.1 once more.
WANTED = {
    **{f"bge-{s}-{of}{v}": ("FlagModel", "cls", "{}{}") for s in SIZES for of in ("en", "zh") for v in ("", "-v1.5")},
    "bge-m3": ("BGEM3FlagModel", "cls", "{}{}"),
    **{name.format(size): ("FlagModel", "mean", "{}{}") for name in (*E5, "gte-{}") for size in SIZES},
    "multilingual-e5-large-instruct": ("FlagModel", "mean", INSTRUCT),
    **{
        name: ("FlagModel", "cls", "{}{}")
        for name in (*[f"gte-{s}-zh" for s in SIZES], "bce-embedding-base_v1", *NOTED)
    },
    "bge-en-icl": ("FlagICLModel", "last_token", BGE_LLM),
    **{name: ("FlagLLMModel", "last_token", BGE_LLM) for name in ("bge-multilingual-gemma2", "bge-code-v1")},
    "bge-reasoner-embed-qwen3-8b-0923": ("FlagLLMModel", "last_token", INSTRUCT),
    **{f"Qwen3-Embedding-{s}B": ("FlagLLMModel", "last_token", "Instruct: {}\nQuery:{}") for s in ("0.6", "4", "8")},
    **{name: ("FlagLLMModel", "last_token", INSTRUCT) for name in (*MISTRAL, *GTE_QWEN)},
}
RERANKER_CLASSES = {
    **dict.fromkeys(("bge-reranker-base", "bge-reranker-large", "bge-reranker-v2-m3"), "FlagReranker"),
    "bge-reranker-v2-gemma": "FlagLLMReranker",
    "bge-reranker-v2-minicpm-layerwise": "LayerWiseFlagLLMReranker",
    "bge-reranker-v2.5-gemma2-lightweight": "LightWeightFlagLLMReranker",
    "jina-reranker-v2-base-multilingual": "FlagReranker",
    "gte-multilingual-reranker-base": "FlagReranker",
    "bce-reranker-base_v1": "FlagReranker",
    "jina-reranker-v1-turbo-en": "FlagReranker",
}


@pytest.fixture
def no_files(monkeypatch):
    """Opening, listing or testing any file fails the test."""

    def refuse(*path: Any, **_: Any) -> None:
        raise AssertionError(f"a file was looked for: {path}")

    for module, name in ((Path, "open"), (Path, "is_file"), (Path, "exists"), (os, "stat"), (os, "listdir")):
        monkeypatch.setattr(module, name, refuse)


def named(name: str, folder: Path, what: str = "tiny-bert") -> Path:
    """A copy of a tiny checkpoint in a folder of that name."""
    return shutil.copytree(checkpoint(what), folder / name)


# ── the tables ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_row_has_the_class_pooling_and_format_of_the_contract():
    rows = {
        name: (row.model_class.__name__, row.pooling_method.value, row.query_instruction_format)
        for name, row in AUTO_EMBEDDER_MAPPING.items()
    }
    assert rows == WANTED
    rerankers = {name: row.model_class.__name__ for name, row in AUTO_RERANKER_MAPPING.items()}
    assert list(rerankers.items()) == list(RERANKER_CLASSES.items())


def test_rows_stand_in_flagembeddings_order():
    names = bge_fast.support_model_list()
    assert names == list(AUTO_EMBEDDER_MAPPING)
    assert bge_fast.support_native_bge_model_list() == names[:17]
    assert names[:6] == [
        "bge-reasoner-embed-qwen3-8b-0923",
        "bge-code-v1",
        "bge-en-icl",
        "bge-multilingual-gemma2",
        "bge-m3",
        "bge-large-en-v1.5",
    ]
    assert names[16:21] == [
        "bge-small-zh",
        *(f"Qwen3-Embedding-{s}B" for s in ("0.6", "4", "8")),
        "e5-mistral-7b-instruct",
    ]
    assert names[-4:] == [*MISTRAL[1:], "bce-embedding-base_v1"]


def test_what_the_command_line_knows_of_a_name():
    assert known_model("BAAI/bge-small-en-v1.5").query_instruction.endswith("passages: ")
    assert known_model("models/bge-base-zh/checkpoint-100/").query_instruction.endswith("：")
    e5 = known_model("intfloat/multilingual-e5-small")
    assert (e5.pooling, e5.query_instruction, e5.passage_instruction) == ("mean", "query: ", "passage: ")
    assert known_model("all-MiniLM-L6-v2") == KnownModel("mean", dimension=384)
    assert known_model("Qwen3-Embedding-8B").model_class == "FlagLLMModel"
    assert known_reranker("BAAI/bge-reranker-v2-gemma/").model_class == "FlagLLMReranker"
    assert known_model("") is None
    assert set(EMBEDDERS) <= set(KNOWN_MODELS)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("BAAI/bge-m3", "bge-m3"),
        ("/models/bge-m3/", "bge-m3"),
        ("/models/bge-m3///", "bge-m3"),
        ("bge-m3/checkpoint-500", "bge-m3"),
        ("/models/bge-m3/checkpoint-500/", "bge-m3"),
        ("checkpoint-500", "checkpoint-500"),
        ("BGE-M3", "BGE-M3"),
        ("", ""),
    ],
)
def test_the_name_that_is_looked_up(path, name):
    assert table_name(path) == name


# ── opening ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ["", "/", "//", "/checkpoint-7", "/checkpoint-7/"])
def test_a_row_gives_class_pooling_and_format(tmp_path, ending):
    folder = named("multilingual-e5-large-instruct/" + ending.strip("/"), tmp_path)
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)
    path = f"{tmp_path}/multilingual-e5-large-instruct{ending}"
    model = FlagAutoModel.from_finetuned(path, query_instruction_for_retrieval="Find it")
    assert type(model) is FlagModel
    assert (model.pooling_method, model.query_instruction_format) == ("mean", INSTRUCT)
    plain = FlagModel(str(folder), pooling_method="mean")
    assert np.array_equal(model.encode_queries("wing"), plain.encode("Instruct: Find it\nQuery: wing"))


def test_explicit_arguments_win_over_the_row(tmp_path):
    folder = named("multilingual-e5-large-instruct", tmp_path)
    model = FlagAutoModel.from_finetuned(
        str(folder),
        normalize_embeddings=False,
        use_fp16=False,
        use_bf16=True,
        devices="cpu",
        pooling_method="cls",
        trust_remote_code=True,
        query_instruction_format="{}: {}",
        truncate_dim=8,
        batch_size=3,
        passage_max_length=64,
    )
    assert (model.pooling_method, model.query_instruction_format, model.trust_remote_code) == ("cls", "{}: {}", True)
    assert (model.normalize_embeddings, model.use_fp16, model.use_bf16, model.truncate_dim) == (False, False, True, 8)
    assert (model.batch_size, model.passage_max_length) == (3, 64)
    assert model.encode("wing").shape == (8,)


def test_m3_and_rerankers_by_name(tmp_path):
    m3 = FlagAutoModel.from_finetuned(str(named("bge-m3", tmp_path, "tiny-m3")), return_sparse=True)
    assert type(m3) is BGEM3FlagModel
    assert isinstance(m3, AbsEmbedder)
    assert m3.encode("a wing of the plane")["lexical_weights"]
    reranker = FlagAutoReranker.from_finetuned(
        str(named("bge-reranker-v2-m3", tmp_path, "tiny-reranker")), use_fp16=True, normalize=True, max_length=128
    )
    assert type(reranker) is FlagReranker
    assert isinstance(reranker, AbsReranker)
    assert (reranker.use_fp16, reranker.trust_remote_code, reranker.max_length) == (True, False, 128)
    assert 0 < reranker.compute_score(("wing", "flow"))[0] < 1


@pytest.mark.parametrize("model_class", ["encoder-only-base", EmbedderModelClass.ENCODER_ONLY_BASE])
def test_a_given_class_sets_the_table_aside(tmp_path, model_class, caplog):
    folder = named("bge-m3", tmp_path)
    with caplog.at_level(logging.INFO):
        model = FlagAutoModel.from_finetuned(str(folder), model_class=model_class)
    assert type(model) is FlagModel
    assert (model.pooling_method, model.query_instruction_format, model.trust_remote_code) == ("cls", "{}{}", False)
    assert {record.levelname for record in caplog.records} == {"INFO"}
    for name in ("pooling_method", "query_instruction_format", "trust_remote_code"):
        assert any(name in record.getMessage() for record in caplog.records)


def test_a_given_class_opens_any_name(tiny_bert):
    m3 = FlagAutoModel.from_finetuned(str(checkpoint("tiny-m3")), "encoder-only-m3", pooling_method="mean")
    assert (type(m3), m3.pooling_method) == (BGEM3FlagModel, "mean")
    folder = str(checkpoint("tiny-reranker-bert"))
    for model_class in ("encoder-only-base", RerankerModelClass.ENCODER_ONLY_BASE):
        assert type(FlagAutoReranker.from_finetuned(folder, model_class)) is FlagReranker


def test_a_row_that_a_program_adds_is_used(tiny_bert, monkeypatch):
    row = AUTO_EMBEDDER_MAPPING["gte-base"]
    monkeypatch.setitem(AUTO_EMBEDDER_MAPPING, "tiny-bert", row)
    assert FlagAutoModel.from_finetuned(str(tiny_bert), use_fp16=False).pooling_method == "mean"


def test_noted_models_open_by_architecture(tmp_path):
    folder = named("gte-multilingual-base", tmp_path)
    assert FlagAutoModel.from_finetuned(str(folder)).encode("wing").shape == (32,)
    edit_json(folder / "config.json", model_type="new")
    with pytest.raises(UnsupportedModelError, match="'new'.*bert, xlm-roberta"):
        FlagAutoModel.from_finetuned(str(folder))


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_auto_classes_have_no_objects():
    for auto in (FlagAutoModel, FlagAutoReranker):
        with pytest.raises(EnvironmentError, match="from_finetuned"):
            auto()


@pytest.mark.parametrize(("auto", "known"), [(FlagAutoModel, "bge-m3"), (FlagAutoReranker, "bge-reranker-v2-m3")])
def test_an_unknown_name_is_told_with_the_known_ones(auto, known, no_files):
    with pytest.raises(ValueError, match="model_class") as refused:
        auto.from_finetuned("/models/My-Model/checkpoint-9/")
    for said in ("'My-Model'", "/models/My-Model/checkpoint-9/", known, "encoder-only-base"):
        assert said in str(refused.value)


def test_a_name_of_the_other_kind_is_told_with_its_class(no_files):
    with pytest.raises(ValueError, match=r"'bge-reranker-v2-m3' is a reranker; open it with FlagAutoReranker\."):
        FlagAutoModel.from_finetuned("BAAI/bge-reranker-v2-m3")
    with pytest.raises(ValueError, match=r"'bge-m3' is an embedder; open it with FlagAutoModel\."):
        FlagAutoReranker.from_finetuned("BAAI/bge-m3")


@pytest.mark.parametrize(
    ("auto", "wrong", "accepted"),
    [
        (FlagAutoModel, "FlagModel", EmbedderModelClass),
        (FlagAutoModel, RerankerModelClass.ENCODER_ONLY_BASE, EmbedderModelClass),
        (FlagAutoReranker, "encoder-only-m3", RerankerModelClass),
        (FlagAutoReranker, 7, RerankerModelClass),
    ],
)
def test_a_class_that_is_none_is_told_with_those_there_are(auto, wrong, accepted, no_files):
    with pytest.raises(ValueError, match="model_class") as refused:
        auto.from_finetuned("bge-m3", model_class=wrong)
    assert all(member.value in str(refused.value) for member in accepted)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("bge-en-icl", "decoder-mistral"),
        ("bge-multilingual-gemma2", "decoder-gemma2"),
        ("Qwen3-Embedding-0.6B", "decoder-qwen3"),
        ("bge-code-v1", "decoder-qwen2"),
        ("SFR-Embedding-Mistral", "decoder-mistral"),
    ],
)
def test_decoder_only_embedders_by_name(tmp_path, name, folder):
    model = FlagAutoModel.from_finetuned(str(named(name, tmp_path, folder)), query_instruction_for_retrieval="Find it")
    kind, _, wanted = WANTED[name]
    assert (type(model).__name__, model.query_instruction_format) == (kind, wanted)
    assert isinstance(model, AbsEmbedder)
    assert model.encode_queries(["lift", "drag"]).shape == (2, 32)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("bge-reranker-v2-gemma", "decoder-reranker-gemma"),
        ("bge-reranker-v2-minicpm-layerwise", "decoder-layerwise"),
        ("bge-reranker-v2.5-gemma2-lightweight", "decoder-lightweight"),
    ],
)
def test_decoder_only_rerankers_by_name(tmp_path, name, folder):
    reranker = FlagAutoReranker.from_finetuned(str(named(name, tmp_path, folder)), use_fp16=True, max_length=64)
    assert type(reranker).__name__ == RERANKER_CLASSES[name]
    assert isinstance(reranker, AbsReranker)
    assert len(reranker.compute_score([("lift", "of a wing"), ("a", "b")])) == 2


@pytest.mark.parametrize(
    ("auto", "model_class", "name", "folder"),
    [
        (FlagAutoModel, "decoder-only-base", "FlagLLMModel", "decoder-qwen3"),
        (FlagAutoModel, EmbedderModelClass.DECODER_ONLY_ICL, "FlagICLModel", "decoder-mistral"),
        (FlagAutoReranker, RerankerModelClass.DECODER_ONLY_BASE, "FlagLLMReranker", "decoder-reranker-llama"),
        (FlagAutoReranker, "decoder-only-layerwise", "LayerWiseFlagLLMReranker", "decoder-layerwise"),
        (FlagAutoReranker, "decoder-only-lightweight", "LightWeightFlagLLMReranker", "decoder-lightweight"),
    ],
)
def test_decoder_only_classes_by_model_class(auto, model_class, name, folder):
    """Without a format, FlagEmbedding takes the encoders', not that of the class."""
    model = auto.from_finetuned(str(checkpoint(folder)), model_class=model_class)
    assert (type(model).__name__, model.query_instruction_format) == (name, "{}{}")


def test_code_from_a_checkpoint_is_never_run(no_files):
    with pytest.raises(NotImplementedError, match="org/some-model needs FlagPseudoMoEModel"):
        FlagAutoModel.from_finetuned("org/some-model", EmbedderModelClass.DECODER_ONLY_PSEUDO_MOE)


def test_configuration_that_rows_are_made_of_can_be_read_as_json():
    assert json.loads(json.dumps(bge_fast.support_model_list()))
