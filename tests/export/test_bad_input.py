"""Bad input: one clear line, exit status 1, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from bge_fast_export import export as export_module
from bge_fast_export import folder as folder_module
from bge_fast_export.__main__ import main
from tests.export.running import MODELS, Command, edit_config

TINY_BERT = MODELS / "tiny-bert"


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_index(folder: Path, shard: str) -> None:
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": shard}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def only_pickle(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)


def truncate(path: Path, size: int) -> None:
    with path.open("rb+") as file:
        file.truncate(size)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "is not a checkpoint: it has no config.json"),
    "config no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not valid JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "does not hold a JSON object"),
    "config too deep": (
        lambda f: (f / "config.json").write_text("[" * 200_000),
        "config.json is not valid JSON",
    ),
    "architecture": (
        lambda f: edit_config(f, model_type="deberta-v2"),
        'Architecture "deberta-v2" is not supported; these work: "bert", "xlm-roberta", "roberta",',
    ),
    "no architecture": (lambda f: edit_config(f, model_type=None), 'no model_type; these work: "bert"'),
    "foreign class": (
        lambda f: edit_config(f, architectures=["JinaBertModel"]),
        "code from the checkpoint's repository is never run",
    ),
    "decoder": (lambda f: edit_config(f, is_decoder=True), "declares a decoder"),
    "relative positions": (
        lambda f: edit_config(f, position_embedding_type="relative_key"),
        'position_embedding_type is "relative_key"',
    ),
    "activation": (lambda f: edit_config(f, hidden_act="relu"), 'hidden_act is "relu"'),
    "text for number": (lambda f: edit_config(f, hidden_size="32"), "hidden_size is '32'"),
    "huge number": (
        lambda f: edit_config(f, max_position_embeddings=10**30),
        "max_position_embeddings is 1000",
    ),
    "NaN": (lambda f: edit_config(f, layer_norm_eps=float("nan")), "layer_norm_eps is nan"),
    "heads": (lambda f: edit_config(f, num_attention_heads=5), "not a multiple of num_attention_heads 5"),
    "other shape": (lambda f: edit_config(f, intermediate_size=96), "model.safetensors cannot be read"),
    "other vocabulary": (
        lambda f: (
            edit_config(f, vocab_size=50),
            edit_weights(f, lambda w: w.update(cut_embeddings(w, 50))),
        ),
        "ids beyond the model's vocabulary",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
    "weights cut": (lambda f: truncate(f / "model.safetensors", 200_000), "model.safetensors cannot be read"),
    "weights empty": (lambda f: truncate(f / "model.safetensors", 0), "model.safetensors is empty"),
    "weights garbage": (
        lambda f: (f / "model.safetensors").write_bytes(b"garbage!" * 100),
        "model.safetensors cannot be read",
    ),
    "pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "is a Git LFS pointer",
    ),
    "missing tensor": (
        lambda f: edit_weights(f, lambda w: w.pop("encoder.layer.1.output.dense.bias")),
        "lacks weights of the encoder: encoder.layer.1.output.dense.bias",
    ),
    "not a number": (
        lambda f: edit_weights(f, lambda w: w["encoder.layer.0.output.dense.bias"].fill_(float("nan"))),
        "vectors of zeros or of no finite numbers",
    ),
    "shard missing": (
        lambda f: write_index(f, "model-00001-of-00002.safetensors"),
        "model-00001-of-00002.safetensors, which the index names, is missing",
    ),
    "shard elsewhere": (lambda f: write_index(f, "../model.safetensors"), "names a weight file outside"),
    "index garbage": (
        lambda f: (write_index(f, "x"), (f / "model.safetensors.index.json").write_text("[1]")),
        "is not an index of weight files",
    ),
    "pickle garbage": (lambda f: only_pickle(f, b"\x80\x02garbage"), "pytorch_model.bin cannot be read"),
    "no tokenizer": (
        lambda f: [(f / name).unlink() for name in ("tokenizer.json", "vocab.txt")],
        "has no tokenizer",
    ),
    "tokenizer garbage": (
        lambda f: (f / "tokenizer.json").write_text("{}"),
        "tokenizer.json is not a tokenizer",
    ),
    "pooling garbage": (
        lambda f: (f / "1_Pooling/config.json").write_text("{"),
        "1_Pooling/config.json is not",
    ),
}


def cut_embeddings(weights: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    name = "embeddings.word_embeddings.weight"
    return {name: weights[name][:size].clone()}


def assert_nothing_in(place: Path) -> None:
    assert os.listdir(place) == []


@pytest.mark.parametrize("case", SPOILED)
def test_spoiled_checkpoint(case: str, checkpoint: Path, place: Path, command: Command) -> None:
    spoil, message = SPOILED[case]
    spoil(checkpoint)
    run = command(checkpoint, "-o", place / "deep" / "out")
    assert run.status == 1
    assert message in run.error
    assert run.out == ""
    assert_nothing_in(place)


def test_code_in_a_pickle_does_not_run(checkpoint: Path, place: Path, command: Command, tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trace),)

    (checkpoint / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Hostile()}, checkpoint / "pytorch_model.bin")
    run = command(checkpoint, "-o", place / "out")
    assert run.status == 1
    assert "pytorch_model.bin cannot be read" in run.error
    assert not trace.exists()
    assert_nothing_in(place)
    torch.load(checkpoint / "pytorch_model.bin", weights_only=False)
    assert trace.exists()  # the trap itself works


def test_no_such_folder(place: Path, command: Command) -> None:
    run = command("./no/such/folder", "-o", place / "out")
    assert run.status == 1
    assert "./no/such/folder: no such folder" in run.error
    assert_nothing_in(place)


def test_file_for_a_folder(place: Path, command: Command) -> None:
    run = command(TINY_BERT / "config.json", "-o", place / "out")
    assert run.status == 1
    assert "config.json is a file; expected a checkpoint folder" in run.error
    assert_nothing_in(place)


def test_length_beyond_the_positions(place: Path, command: Command) -> None:
    run = command(MODELS / "tiny-xlmr", "-o", place / "out", "--max-length", 513)
    assert run.status == 1
    assert "--max-length 513 is more than the 512 tokens" in run.error
    assert_nothing_in(place)


def test_revision_of_a_folder(place: Path, command: Command) -> None:
    run = command(TINY_BERT, "-o", place / "out", "--revision", "main")
    assert run.status == 1
    assert "--revision is for hub ids" in run.error


def test_output_taken(place: Path, command: Command) -> None:
    (place / "out").mkdir()
    (place / "out/letter.txt").write_text("mine")
    run = command(TINY_BERT, "-o", place / "out")
    assert run.status == 1
    assert "exists and is not empty; --overwrite replaces it" in run.error
    assert os.listdir(place) == ["out"]
    assert (place / "out/letter.txt").read_text() == "mine"


def test_output_is_a_file(place: Path, command: Command) -> None:
    (place / "out").write_text("mine")
    run = command(TINY_BERT, "-o", place / "out", "--overwrite")
    assert run.status == 1
    assert "exists and is not a folder" in run.error
    assert (place / "out").read_text() == "mine"


def test_output_below_a_file(place: Path, command: Command) -> None:
    (place / "file").write_text("mine")
    run = command(TINY_BERT, "-o", place / "file" / "out")
    assert run.status == 1
    assert "cannot be made" in run.error


def test_overwriting_the_checkpoint_itself(checkpoint: Path, command: Command) -> None:
    before = sorted(os.listdir(checkpoint))
    for output in (checkpoint, checkpoint.parent):
        run = command(checkpoint, "-o", output, "--overwrite")
        assert run.status == 1
        assert "is or contains the checkpoint" in run.error
    assert sorted(os.listdir(checkpoint)) == before


def test_overwriting_the_current_folder(
    checkpoint: Path, place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "work").mkdir()
    monkeypatch.chdir(place / "work")
    run = command(checkpoint, "-o", "..", "--overwrite")
    assert run.status == 1
    assert "is or contains the current folder" in run.error


def test_no_space(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    run = command(TINY_BERT, "-o", place / "out")
    assert run.status == 1
    assert "Not enough space for" in run.error
    assert "0.03 GB needed, 0.00 GB free" in run.error
    assert_nothing_in(place)


def test_space_runs_out_on_the_way(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.onnx")

    monkeypatch.setattr(export_module, "write_manifest", full)
    run = command(TINY_BERT, "-o", place / "out", "--precision", "fp32")
    assert run.status == 1
    assert "No space is left for" in run.error
    assert_nothing_in(place)


def scale_a_weight(path: Path) -> None:
    model = onnx.load(path)
    tensor = max(model.graph.initializer, key=lambda item: len(item.dims))
    values = onnx.numpy_helper.to_array(tensor) * 1.5
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(values.dtype), tensor.name))
    onnx.save(model, path)


def test_wrong_fp32_graph(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    right = export_module.export_graph

    def wrong(model: object, encoder: object, kind: object, path: Path, opset: int) -> None:
        right(model, encoder, kind, path, opset)
        scale_a_weight(path)

    monkeypatch.setattr(export_module, "export_graph", wrong)
    for precision in ("fp32", "fp16"):  # also where only fp16 is kept
        run = command(TINY_BERT, "-o", place / "out", "--precision", precision)
        assert run.status == 1
        assert "model.onnx differs from the checkpoint by" in run.error
        assert_nothing_in(place)


@pytest.mark.parametrize("factor", [1.5, float("nan")])
def test_wrong_fp16_graph(factor: float, place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    right = export_module.write_fp16

    def wrong(fp32_path: Path, fp16_path: Path, encoder: object) -> None:
        right(fp32_path, fp16_path, encoder)
        model = onnx.load(fp16_path)
        (tensor,) = [item for item in model.graph.initializer if item.name == "Attention_0_qkv_weight"]
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[:, ::2] = (values[:, ::2] * factor * 10).astype(values.dtype)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        onnx.save(model, fp16_path)

    monkeypatch.setattr(export_module, "write_fp16", wrong)
    run = command(TINY_BERT, "-o", place / "out")
    assert run.status == 1
    assert "model_fp16.onnx has a cosine of" in run.error
    assert_nothing_in(place)


def test_file_system_without_exchange(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "out").mkdir()
    (place / "out/old").write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(folder_module, "_exchange", refuse)
    run = command(TINY_BERT, "-o", place / "out", "--overwrite")
    assert run.status == 1
    assert "cannot exchange two folders in one step" in run.error
    assert os.listdir(place) == ["out"]
    assert os.listdir(place / "out") == ["old"]


def test_interrupted(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_fp16", interrupt)
    run = command(TINY_BERT, "-o", place / "out")
    assert run.status == 130
    assert "Traceback" not in run.err
    assert_nothing_in(place)


def test_debug_gives_the_traceback(checkpoint: Path, place: Path, command: Command) -> None:
    (checkpoint / "config.json").unlink()
    run = command(checkpoint, "-o", place / "out", "--debug")
    assert run.status == 1
    assert "Traceback (most recent call last)" in run.err
    assert "CheckpointError" in run.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x"],
        ["x", "-o", "y", "--precision", "int8"],
        ["x", "-o", "y", "--precision", "fp32,fp32"],
        ["x", "-o", "y", "--precision", ""],
        ["x", "-o", "y", "--opset", "9"],
        ["x", "-o", "y", "--kind", "decoder"],
        ["x", "-o", "y", "--max-length", "0"],
        ["x", "-o", "y", "--max-length", "-5"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
