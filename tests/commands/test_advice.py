"""What `doctor` advises for a model, and that `info` calls none fine whose files cannot be opened."""

import json
import shutil
from pathlib import Path

import pytest

from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint, edit_json
from tests.support.malformed import change_header

FAULTS = {
    "cut short": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:-100]
    ),
    "a pointer": lambda folder: (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
    ),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "other sizes": lambda folder: edit_json(folder / "config.json", hidden_size=64),
    "more layers": lambda folder: edit_json(folder / "config.json", num_hidden_layers=9),
    "more words": lambda folder: edit_json(folder / "config.json", vocab_size=5000),
    "no tokenizer": lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "vocab.txt")],
    "another architecture": lambda folder: edit_json(folder / "config.json", model_type="t5"),
    "another activation": lambda folder: edit_json(folder / "config.json", hidden_act="of my own"),
    "integers": lambda folder: change_header(folder, "embeddings.LayerNorm.weight", dtype="I32"),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_info_calls_no_folder_fine_that_does_not_open(
    own_checkpoint: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    assert main(["info", str(own_checkpoint)]) == 0
    capsys.readouterr()
    FAULTS[fault](own_checkpoint)
    assert main(["info", str(own_checkpoint)]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("bge-fast: error: ")


def advice(model: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["doctor", model, "--device", "cpu", "--json"]) == 3
    return next(one for one in json.loads(capsys.readouterr().out)["checks"] if one["id"] == "model")


@pytest.mark.parametrize(
    "fault", ["cut short", "no weights", "no tokenizer", "another architecture", "no configuration"]
)
def test_for_a_folder_nothing_is_installed_or_downloaded(
    own_checkpoint: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    FAULTS[fault](own_checkpoint)
    check = advice(str(own_checkpoint), capsys)
    assert check["status"] == "error"
    assert "pip" not in check["remedy"]
    assert "bge-fast download" not in check["remedy"]
    assert "folder" in check["remedy"]


def test_a_reranker_that_is_broken_is_no_matter_of_the_installation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(checkpoint("tiny-reranker"), tmp_path / "reranker")
    (folder / "tokenizer.json").write_text("{}")
    assert "pip" not in advice(str(folder), capsys)["remedy"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("nobody/nothing", "bge-fast download nobody/nothing"), ("/no/such/folder", "check the path")],
)
def test_what_is_no_folder_may_be_downloaded_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, remedy: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert advice(name, capsys)["remedy"] == remedy
