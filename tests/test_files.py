"""From a name to the files that are opened: folders, manifests, the hub and its cache."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import edit_json
from hub_double import COMMIT, REPOSITORY, serving

from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from bge_fast.files import find_model, verify_files

MANIFEST = "bge_fast.json"


# ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_with_a_plain_graph_opens_like_an_exported_one(own_folder, bert):
    (own_folder / MANIFEST).unlink()
    model = FlagModel(str(own_folder))
    assert np.array_equal(model.encode("text"), bert.encode("text"))
    assert model.info()["source"] == "onnx"


def test_special_tokens_are_found_in_tokenizer_config_too(own_folder):
    (own_folder / MANIFEST).unlink()
    (own_folder / "special_tokens_map.json").unlink()
    content = {"content": "[SEP]", "special": True}
    extras = {"added_tokens_decoder": {"0": content}, "extra_special_tokens": {}, "sep_token": content}
    edit_json(own_folder / "tokenizer_config.json", **extras)
    assert FlagModel(str(own_folder)).tokenizer.sep_token == "[SEP]"


def test_a_relative_path_and_a_trailing_slash(own_folder, monkeypatch, bert):
    monkeypatch.chdir(own_folder.parent)
    for name in ("tiny-bert", "tiny-bert/", "./tiny-bert"):
        assert np.array_equal(FlagModel(name).encode("text"), bert.encode("text"))


def test_a_folder_that_is_itself_a_link(own_folder, tmp_path, bert):
    (tmp_path / "link").symlink_to(own_folder)
    assert np.array_equal(FlagModel(str(tmp_path / "link")).encode("text"), bert.encode("text"))


def test_a_checkpoint_without_a_graph_prints_the_export_command():
    checkpoint = Path(__file__).parent / "models" / "tiny-bert"
    with pytest.raises(ModelNotFoundError) as caught:
        FlagModel(str(checkpoint))
    assert f"bge-fast-export {checkpoint} -o tiny-bert-onnx" in str(caught.value)


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
            lambda f: edit_json(f / "config.json", model_type="qwen2"),
            UnsupportedModelError,
            "qwen2.*bert and xlm-roberta",
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
        (lambda f: (f / "tokenizer.json").unlink(), ModelNotFoundError, r"tokenizer\.json"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), ModelFormatError, r"tokenizer\.json"),
        (lambda f: (f / "onnx/model.onnx").write_bytes(b"\x08\x07garbage"), ModelFormatError, "graph"),
        (lambda f: (f / "onnx/model.onnx").unlink(), ModelNotFoundError, "bge-fast-export"),
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
    source = find_model(str(own_folder), ["fp32"])
    assert "onnx/model.onnx" in verify_files(source)
    path = own_folder / "tokenizer.json"
    path.write_text(path.read_text().replace("wing", "gniw", 1))
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json: sha256 differs"):
        verify_files(source)


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


# ── the hub ───────────────────────────────────────────────────────────────────────────────────────────────────────────

OPEN = """
import json, sys
from bge_fast import FlagModel
try:
    model = FlagModel(sys.argv[1], **json.loads(sys.argv[2]))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "said": str(error)}))
else:
    print(json.dumps({"first": float(model.encode("text")[0]), **model.info()}))
"""


def open_elsewhere(name: str, home: Path, endpoint: str = "http://127.0.0.1:9", **environment: str) -> dict:
    """Open a model in a process of its own, since the hub's client reads its environment once."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_", "HUGGING"))}
    options = environment.pop("options", "{}")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, name, options],
        env={**clean, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_hub_id_downloads_only_what_is_needed_and_then_needs_no_network(own_folder, tmp_path, bert):
    (own_folder / "pytorch_model.bin").write_bytes(b"large")
    (own_folder / "README.md").write_text("words")
    with serving(own_folder) as hub:
        first = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
        assert first["first"] == pytest.approx(float(bert.encode("text")[0]), abs=1e-7)
        assert first["commit"] == COMMIT
        assert "onnx/model.onnx" in hub.given
        assert not hub.given & {"onnx/model_fp16.onnx", "pytorch_model.bin", "README.md", "vocab.txt"}
        asked = len(hub.requested)
        again = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
        assert again["first"] == first["first"]
        assert len(hub.requested) == asked, "a complete cached model must not be asked about"
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        assert open_elsewhere(REPOSITORY, tmp_path / "home", **environment)["first"] == first["first"]


def test_a_plain_onnx_repository(own_folder, tmp_path, bert):
    (own_folder / MANIFEST).unlink()
    with serving(own_folder) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    assert opened["source"] == "onnx"
    assert opened["first"] == pytest.approx(float(bert.encode("text")[0]), abs=1e-7)
    assert open_elsewhere(REPOSITORY, tmp_path / "home")["first"] == opened["first"]


def test_cache_dir_and_token_are_honoured(own_folder, tmp_path):
    options = json.dumps({"cache_dir": str(tmp_path / "cache")})
    with serving(own_folder) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint, HF_TOKEN="hf_secret", options=options)
        assert hub.tokens == {"Bearer hf_secret"}
    assert opened["folder"].startswith(str(tmp_path / "cache"))
    assert "hf_secret" not in json.dumps(opened)
    assert not (tmp_path / "home" / "hub").exists()


def test_an_incomplete_cache_while_offline_names_what_is_missing(own_folder, tmp_path):
    with serving(own_folder) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    (Path(opened["folder"]) / "onnx" / "model.onnx").unlink()
    refused = open_elsewhere(REPOSITORY, tmp_path / "home", HF_HUB_OFFLINE="1")
    assert refused["error"] == "ModelNotFoundError"
    assert "missing onnx/model.onnx" in refused["said"]
    assert f"bge-fast info {REPOSITORY} --download" in refused["said"]


def test_a_checkpoint_on_the_hub_prints_the_export_command(tmp_path):
    checkpoint = shutil.copytree(Path(__file__).parent / "models" / "tiny-bert", tmp_path / "checkpoint")
    with serving(checkpoint) as hub:
        refused = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
        assert "model.safetensors" not in hub.given
    assert refused["error"] == "ModelNotFoundError"
    assert f"bge-fast-export {REPOSITORY} -o bert-onnx" in refused["said"]


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_an_unknown_hub_id_without_network(tmp_path, environment):
    refused = open_elsewhere("nobody/nothing", tmp_path / "home", **environment)
    assert refused["error"] == "ModelNotFoundError"
    assert "nobody/nothing" in refused["said"]


def test_a_repository_that_is_not_on_the_hub(own_folder, tmp_path):
    with serving(own_folder) as hub:
        refused = open_elsewhere("nobody/nothing", tmp_path / "home", hub.endpoint)
    assert "no such repository" in refused["said"]
