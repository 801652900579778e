"""Folders that say less of themselves than they should, or lie as older packages laid them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from bge_fast.commands.cli import main
from bge_fast.commands.doctor.tiny_model import write_tiny_model
from bge_fast.errors import ModelFormatError
from tests.support.checkpoints import checkpoint, edit_json
from tests.support.malformed import turn_into_pickled

PAIRS = [("heat transfer", "slip flow"), ("a wing", "boundary layer")]


@pytest.fixture(params=["tiny-reranker", "tiny-reranker-bert"])
def reranker(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint(request.param), tmp_path / request.param)


def without(folder: Path, *keys: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key not in keys}))


@pytest.mark.parametrize("classes", [None, [], ["BertModel"], ["XLMRobertaForMaskedLM"], ["SomethingOfMyOwn"]])
def test_a_reranker_is_known_by_its_weights(reranker: Path, classes: list[str] | None) -> None:
    wanted = FlagReranker(str(reranker)).compute_score(PAIRS)
    edit_json(reranker / "config.json", architectures=classes)
    model = FlagReranker(str(reranker))
    assert model.compute_score(PAIRS) == wanted
    assert model.info()["kind"] == "reranker"
    without(reranker, "architectures", "id2label", "label2id")
    assert FlagReranker(str(reranker)).compute_score(PAIRS) == wanted


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-xlmr", "tiny-m3"])
@pytest.mark.parametrize("classes", [None, ["BertModel"]])
def test_what_has_no_classifier_is_no_reranker(tmp_path: Path, name: str, classes: list[str] | None) -> None:
    folder = shutil.copytree(checkpoint(name), tmp_path / name)
    edit_json(folder / "config.json", architectures=classes)
    with pytest.raises(ModelFormatError, match="is an embedder.*no classification head.*FlagModel"):
        FlagReranker(str(folder))


def test_a_graph_without_logits_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="logits|no classification head"):
        FlagReranker(str(write_tiny_model(tmp_path / "tiny")))


def test_a_damaged_reranker_is_not_called_an_embedder(reranker: Path) -> None:
    without(reranker, "architectures")
    edit_json(reranker / "config.json", vocab_size=17)
    with pytest.raises(ModelFormatError) as caught:
        FlagReranker(str(reranker))
    assert "is an embedder" not in str(caught.value)


# ── 0_Transformer ─────────────────────────────────────────────────────────────────────────────────────────────────────


def laid_out_of_old(folder: Path, inner: str, modules: bool = True, root: dict | None = None) -> Path:
    """Move the encoder's files into a folder of their own."""
    (folder / inner).mkdir()
    for file in [one for one in folder.iterdir() if one.is_file() and one.name != "modules.json"]:
        file.rename(folder / inner / file.name)
    if modules:
        kinds = [("Transformer", inner), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
        entries = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(entries))
    else:
        (folder / "modules.json").unlink()
    if root is not None:
        (folder / "config.json").write_text(json.dumps(root))
    return folder


@pytest.mark.parametrize(
    ("inner", "modules", "root"),
    [
        ("0_Transformer", True, {"__version__": "2.0.0"}),
        ("0_Transformer", True, None),
        ("0_Transformer", False, None),
        ("0_BERT", True, {"__version__": "0.3.6"}),
    ],
)
@pytest.mark.parametrize("pickled", [False, True])
def test_the_old_layout_opens(own_checkpoint, bert, inner, modules, root, pickled):
    if pickled:
        turn_into_pickled(own_checkpoint)
    folder = laid_out_of_old(own_checkpoint, inner, modules, root)
    model = FlagModel(str(folder))
    assert np.allclose(model.encode(["a wing", "heat"]), bert.encode(["a wing", "heat"]), atol=1e-6)
    assert model.info()["folder"] == str(folder / inner)
    assert model.info()["declared_pooling"] == bert.info()["declared_pooling"]
    assert len(model.tokenizer) == len(bert.tokenizer)


def test_the_command_line_opens_it_too(own_checkpoint, tmp_path, capsys):
    folder = laid_out_of_old(own_checkpoint, "0_Transformer")
    (tmp_path / "lines.txt").write_text("a wing\n")
    assert main(["embed", str(folder), str(tmp_path / "lines.txt")]) == 0
    assert main(["info", str(folder)]) == 0
    assert "0_Transformer" in capsys.readouterr().out


def test_m3_of_the_old_layout(tmp_path):
    folder = shutil.copytree(checkpoint("tiny-m3"), tmp_path / "m3")
    wanted = BGEM3FlagModel(str(folder)).encode("a wing", return_sparse=True)
    if not (folder / "modules.json").is_file():
        (folder / "modules.json").touch()
    moved = BGEM3FlagModel(str(laid_out_of_old(folder, "0_Transformer"))).encode("a wing", return_sparse=True)
    assert np.array_equal(moved["dense_vecs"], wanted["dense_vecs"])
    assert moved["lexical_weights"] == wanted["lexical_weights"]


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/b", 5, None])
def test_modules_elsewhere_are_refused(own_checkpoint, path):
    folder = laid_out_of_old(own_checkpoint, "0_Transformer")
    (folder / "modules.json").write_text(
        json.dumps([{"path": path, "type": "sentence_transformers.models.Transformer"}])
    )
    with pytest.raises(ModelFormatError, match="modules.json lists"):
        FlagModel(str(folder))


@pytest.mark.parametrize("text", ["{}", "5", "[5]", "no JSON"])
def test_odd_modules_are_named(own_checkpoint, text):
    folder = laid_out_of_old(own_checkpoint, "0_Transformer")
    (folder / "modules.json").write_text(text)
    with pytest.raises(ModelFormatError, match="modules.json"):
        FlagModel(str(folder))
