"""BGE-M3: its three outputs beside torch's, checkpoints without heads, and heads that are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.export.graphs import graph_outputs, min_cosine, padded_batch, torch_m3, torch_states
from tests.export.running import MODELS, Command, kind_in

CopyOf = Callable[[str], Path]

HEADS = ("sparse_linear.pt", "colbert_linear.pt")
ALL_OUTPUTS = ["dense_vecs", "sparse_vecs", "colbert_vecs", "last_hidden_state"]
DENSE_OUTPUTS = ["dense_vecs", "last_hidden_state"]


def save_head(path: Path, inputs: int, outputs: int, **more: torch.Tensor) -> None:
    torch.save({**torch.nn.Linear(inputs, outputs).state_dict(), **more}, path)


@pytest.mark.parametrize("lengths", [(80, 1, 33, 12), (1024, 700, 3), (7,)], ids=str)
def test_m3_gives_what_torch_gives(lengths: tuple[int, ...], exported: dict[str, Path]) -> None:
    batch = padded_batch("xlm-roberta", lengths)
    real = batch["attention_mask"] == 1
    expected = torch_m3(MODELS / "tiny-m3", batch)
    assert {name: part.shape for name, part in expected.items()} == {
        "dense_vecs": (len(lengths), 32),
        "sparse_vecs": (*real.shape, 1),
        "colbert_vecs": (*real.shape, 32),
        "last_hidden_state": (*real.shape, 32),
    }
    assert (expected["sparse_vecs"][real] < 0).any()  # so a graph that cuts them would be noticed

    fp32 = graph_outputs(exported["tiny-m3"] / "onnx/model.onnx", batch)
    fp16 = graph_outputs(exported["tiny-m3"] / "onnx/model_fp16.onnx", batch)
    for found, tolerance in ((fp32, 1e-5), (fp16, 0.02)):
        assert list(found) == ALL_OUTPUTS
        for name, part in expected.items():
            rows = slice(None) if name == "dense_vecs" else real
            assert found[name].shape == part.shape
            assert found[name].dtype == np.float32
            assert np.abs(found[name][rows] - part[rows]).max() < tolerance
            if name != "sparse_vecs":
                assert min_cosine(found[name][rows], part[rows]) > 0.9999


def test_m3_on_bert_with_a_narrow_head(checkpoint: Path, place: Path, command: Command) -> None:
    torch.manual_seed(5)
    save_head(checkpoint / "sparse_linear.pt", 32, 1)
    save_head(checkpoint / "colbert_linear.pt", 32, 12)
    assert command(checkpoint, "-o", place / "out").status == 0
    assert kind_in(place / "out") == ("m3", ALL_OUTPUTS)
    batch = padded_batch("bert")
    real = batch["attention_mask"] == 1
    expected = torch_m3(checkpoint, batch)
    found = graph_outputs(place / "out/onnx/model.onnx", batch)
    assert found["colbert_vecs"].shape == (*real.shape, 12)
    for name in ("sparse_vecs", "colbert_vecs"):
        assert np.abs(found[name][real] - expected[name][real]).max() < 1e-5


@pytest.mark.parametrize("name", ["bge-m3", "my-bge-m3", "bge-m3/checkpoint-500"])
def test_m3_without_heads(name: str, tmp_path: Path, place: Path, command: Command) -> None:
    """Known by its name, else a plain embedder."""
    folder = tmp_path / "models" / name
    shutil.copytree(MODELS / "tiny-m3", folder, ignore=shutil.ignore_patterns("*_linear.pt"))
    run = command(folder, "-o", place / "out", "--precision", "fp32")
    assert run.status == 0
    if name.startswith("bge-m3"):
        assert "Dense vectors only: sparse_linear.pt and colbert_linear.pt not found" in run.err
        assert kind_in(place / "out") == ("m3", DENSE_OUTPUTS)
    else:
        assert kind_in(place / "out") == ("embedder", ["last_hidden_state"])


@pytest.mark.parametrize("head", HEADS)
def test_one_head_alone_is_left_out(head: str, copy_of: CopyOf, place: Path, command: Command) -> None:
    checkpoint = copy_of("tiny-m3")
    (checkpoint / head).unlink()
    run = command(checkpoint, "-o", place / "out")
    assert run.status == 0
    (other,) = set(HEADS) - {head}
    assert f"Dense vectors only: {head} not found; {other} is left out" in run.err
    assert kind_in(place / "out") == ("m3", DENSE_OUTPUTS)
    batch = padded_batch("xlm-roberta")
    expected = torch_states(MODELS / "tiny-m3", batch)[:, 0]
    for file, tolerance in (("onnx/model.onnx", 1e-5), ("onnx/model_fp16.onnx", 0.02)):
        assert np.abs(graph_outputs(place / "out" / file, batch)["dense_vecs"] - expected).max() < tolerance


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "head garbage": (
        lambda f: (f / "sparse_linear.pt").write_bytes(b"\x80\x02garbage"),
        "sparse_linear.pt cannot be read",
    ),
    "head empty": (lambda f: (f / "colbert_linear.pt").write_bytes(b""), "colbert_linear.pt is empty"),
    "head a pointer": (
        lambda f: (f / "colbert_linear.pt").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "colbert_linear.pt is a Git LFS pointer",
    ),
    "head no table": (
        lambda f: torch.save([1, 2], f / "sparse_linear.pt"),
        "sparse_linear.pt cannot be read",
    ),
    "head without bias": (
        lambda f: torch.save({"weight": torch.ones(1, 32)}, f / "sparse_linear.pt"),
        "sparse_linear.pt cannot be read: KeyError: 'bias'",
    ),
    "head with more": (
        lambda f: save_head(f / "sparse_linear.pt", 32, 1, scale=torch.ones(1)),
        "sparse_linear.pt is not a layer from 32 numbers to 1",
    ),
    "sparse head of two": (
        lambda f: save_head(f / "sparse_linear.pt", 32, 2),
        "sparse_linear.pt is not a layer from 32 numbers to 1: its weight has the shape (2, 32), its bias (2,)",
    ),
    "head of another width": (
        lambda f: save_head(f / "colbert_linear.pt", 16, 32),
        "colbert_linear.pt is not a layer from 32 numbers to some: its weight has the shape (32, 16)",
    ),
    "head not a number": (
        lambda f: torch.save(
            {"weight": torch.full((1, 32), float("nan")), "bias": torch.zeros(1)}, f / "sparse_linear.pt"
        ),
        "no finite numbers (sparse_vecs): its weights are damaged",
    ),
    "head of no numbers": (
        lambda f: torch.save({"weight": torch.ones(0, 32), "bias": torch.ones(0)}, f / "colbert_linear.pt"),
        "colbert_linear.pt is not a layer from 32 numbers to some",
    ),
    "head of one bare number": (
        lambda f: torch.save({"weight": torch.ones(1, 32), "bias": torch.tensor(1.0)}, f / "sparse_linear.pt"),
        "sparse_linear.pt is not a layer from 32 numbers to 1",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_spoiled_head(case: str, copy_of: CopyOf, place: Path, command: Command) -> None:
    spoil, message = SPOILED[case]
    folder = copy_of("tiny-m3")
    spoil(folder)
    run = command(folder, "-o", place / "out")
    assert run.status == 1
    assert message in run.error
    assert os.listdir(place) == []


@pytest.mark.parametrize("head", HEADS)
def test_code_in_a_head_does_not_run(head: str, copy_of: CopyOf, place: Path, command: Command, tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trace),)

    checkpoint = copy_of("tiny-m3")
    torch.save({"weight": Hostile(), "bias": torch.zeros(1)}, checkpoint / head)
    run = command(checkpoint, "-o", place / "out")
    assert run.status == 1
    assert f"{head} cannot be read" in run.error
    assert not trace.exists()
    torch.load(checkpoint / head, weights_only=False)
    assert trace.exists()  # the trap itself works
