"""From a name to the files that are opened: folders and manifests."""

import json

import numpy as np
import pytest

from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from bge_fast.opening.hub import find_model
from bge_fast.opening.manifest import verify_files
from tests.support.checkpoints import edit_json

MANIFEST = "bge_fast.json"


# ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_with_a_plain_graph_opens_like_an_exported_one(own_folder, bert):
    (own_folder / MANIFEST).unlink()
    model = FlagModel(str(own_folder))
    assert np.allclose(model.encode("text"), bert.encode("text"), atol=1e-6)
    assert model.info()["source"] == "onnx"


def test_special_tokens_are_found_in_tokenizer_config_too(own_checkpoint):
    (own_checkpoint / "special_tokens_map.json").unlink()
    content = {"content": "[SEP]", "special": True}
    extras = {"added_tokens_decoder": {"0": content}, "extra_special_tokens": {}, "sep_token": content}
    edit_json(own_checkpoint / "tokenizer_config.json", **extras)
    assert FlagModel(str(own_checkpoint)).tokenizer.sep_token == "[SEP]"


def test_a_relative_path_and_a_trailing_slash(own_checkpoint, monkeypatch, bert):
    monkeypatch.chdir(own_checkpoint.parent)
    for name in ("checkpoint", "checkpoint/", "./checkpoint"):
        assert np.array_equal(FlagModel(name).encode("text"), bert.encode("text"))


def test_a_folder_that_is_itself_a_link(own_folder, tmp_path):
    (tmp_path / "link").symlink_to(own_folder)
    linked, plain = FlagModel(str(tmp_path / "link")), FlagModel(str(own_folder))
    assert np.array_equal(linked.encode("text"), plain.encode("text"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/nowhere/at/all", "no folder"),
        ("../nothing", "no folder"),
        ("a/../b", "no folder"),
        ("a//b", "no folder"),
        ("no such model", "no folder"),
        ("", "no folder"),
        (__file__, "is a file"),
        ("~nosuchuser/model", "no folder"),
        ("x" * 5000 + "/y", "no folder"),
    ],
)
def test_names_that_are_nothing(name, said):
    with pytest.raises(ModelNotFoundError, match=said):
        FlagModel(name)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        FlagModel(str(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            lambda f: edit_json(f / "config.json", model_type="qwen9"),
            UnsupportedModelError,
            "qwen9.*bert, xlm-roberta",
        ),
        (
            lambda f: edit_json(f / "config.json", architectures=["BertForSequenceClassification"]),
            ModelFormatError,
            "FlagReranker",
        ),
        (lambda f: edit_json(f / "config.json", hidden_size="32"), ModelFormatError, "hidden_size.*'32'"),
        (
            lambda f: edit_json(f / "config.json", max_position_embeddings=-1),
            ModelFormatError,
            "max_position_embeddings",
        ),
        (lambda f: edit_json(f / "config.json", architectures=5), ModelFormatError, "architectures"),
        (lambda f: (f / "config.json").write_text("{"), ModelFormatError, r"config\.json"),
        (lambda f: (f / "config.json").write_text("[]"), ModelFormatError, "no JSON object"),
        (
            lambda f: [(f / name).unlink() for name in ("tokenizer.json", "vocab.txt")],
            ModelNotFoundError,
            r"tokenizer\.json",
        ),
        (lambda f: (f / "tokenizer.json").write_text("{}"), ModelFormatError, r"tokenizer\.json"),
        (lambda f: (f / "onnx/model.onnx").write_bytes(b"\x08\x07garbage"), ModelFormatError, "graph"),
        (
            lambda f: (f / "onnx/model.onnx").unlink(),
            ModelNotFoundError,
            r"neither weights \(model\.safetensors, pytorch_model\.bin.* nor a graph \(onnx/model\.onnx\)",
        ),
    ],
)
def test_a_spoiled_folder_is_named(own_folder, spoil, error, said):
    (own_folder / MANIFEST).unlink()
    spoil(own_folder)
    with pytest.raises(error, match=said):
        FlagModel(str(own_folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 99}, "format 99.*Upgrade"),
        ({"kind": "reranker"}, "FlagReranker"),
        ({"files": {"../../etc/passwd": {"size": 1}}}, "files that no model folder has"),
        ({"files": {"/etc/passwd": {"size": 1}}}, "files that no model folder has"),
        ({"files": []}, "'files'"),
        ({"graphs": {"onnx/other.onnx": {"precision": "fp32"}}}, r"onnx/other\.onnx"),
        ({"max_length": 0}, "max_length"),
        ({"source": None}, "'source'"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(own_folder, changes, said):
    edit_json(own_folder / MANIFEST, **changes)
    with pytest.raises(ModelFormatError, match=said):
        FlagModel(str(own_folder))


def test_a_file_of_another_size_is_noticed_at_opening(own_folder):
    with (own_folder / "onnx/model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelFormatError, match=r"onnx/model\.onnx has.*bytes"):
        FlagModel(str(own_folder))


def test_a_missing_listed_file_is_noticed(own_folder):
    (own_folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"tokenizer_config\.json is missing"):
        FlagModel(str(own_folder))


def test_verification_names_the_file_that_was_changed(own_folder):
    files = find_model(str(own_folder), ["fp32"])
    assert "onnx/model.onnx" in verify_files(files.folder, files.manifest)
    path = own_folder / "tokenizer.json"
    path.write_text(path.read_text().replace("wing", "gniw", 1))
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json: sha256 differs"):
        verify_files(files.folder, files.manifest)


def test_a_precision_that_is_not_there_prints_the_export_command(own_folder):
    manifest = json.loads((own_folder / MANIFEST).read_text())
    del manifest["graphs"]["onnx/model_fp16.onnx"]
    (own_folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelNotFoundError, match=r"no fp16 graph.*bge-fast-export tiny-bert .*--precision fp16,fp32"):
        find_model(str(own_folder), ["fp16"])


def test_max_length_of_the_manifest_lowers_the_limit(own_folder):
    edit_json(own_folder / MANIFEST, max_length=16)
    model = FlagModel(str(own_folder))
    assert model.info()["max_length"] == 16
    assert np.array_equal(model.encode("wing " * 100), model.encode("wing " * 15))


def test_usable_length_of_xlm_r_leaves_the_padding_positions_out(xlmr):
    assert xlmr.model.config.max_position_embeddings == 514
    assert xlmr.info()["max_length"] == 512
