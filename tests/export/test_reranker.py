"""Rerankers: their logits beside torch's, and checkpoints that are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.export.graphs import graph_outputs, padded_pairs, torch_logits
from tests.export.running import MODELS, RERANKERS, Command, edit_config

CopyOf = Callable[[str], Path]

MODEL_TYPE = {"tiny-reranker": "xlm-roberta", "tiny-reranker-bert": "bert"}


@pytest.mark.parametrize("name", RERANKERS)
def test_reranker_gives_what_torch_gives(name: str, exported: dict[str, Path]) -> None:
    for lengths in ((80, 4, 33, 12), (512, 300, 8), (6,)):
        batch = padded_pairs(MODEL_TYPE[name], lengths)
        expected = torch_logits(MODELS / name, batch)
        assert expected.shape == (len(lengths), 1)
        for file, tolerance in (("onnx/model.onnx", 1e-5), ("onnx/model_fp16.onnx", 0.05)):
            found = graph_outputs(exported[name] / file, batch)
            assert list(found) == ["logits"]
            assert found["logits"].dtype == np.float32
            assert np.abs(found["logits"] - expected).max() < tolerance


def test_token_types_count(exported: dict[str, Path]) -> None:
    graph = exported["tiny-reranker-bert"] / "onnx/model.onnx"
    batch = padded_pairs("bert")
    without = {**batch, "token_type_ids": np.zeros_like(batch["token_type_ids"])}
    assert np.abs(graph_outputs(graph, batch)["logits"] - graph_outputs(graph, without)["logits"]).min() > 0.01


@pytest.mark.parametrize("name", RERANKERS)
def test_pickled_fp16_reranker(name: str, copy_of: CopyOf, place: Path, command: Command) -> None:
    checkpoint = copy_of(name)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    torch.save(model.half().state_dict(), checkpoint / "pytorch_model.bin")
    edit_config(checkpoint, id2label=None, label2id=None, num_labels=1, torch_dtype="float16")
    assert command(checkpoint, "-o", place / "out", "--precision", "fp32").status == 0
    batch = padded_pairs(MODEL_TYPE[name])
    found = graph_outputs(place / "out/onnx/model.onnx", batch)["logits"]
    assert np.abs(found - torch_logits(checkpoint, batch)).max() < 1e-5


def drop(folder: Path, *names: str) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if name not in names}
    assert len(kept) == len(weights) - len(names)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def replace(folder: Path, name: str, value: torch.Tensor) -> None:
    weights = {**load_file(folder / "model.safetensors"), name: value}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


SPOILED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "two labels": (
        "tiny-reranker",
        lambda f: edit_config(f, id2label={"0": "no", "1": "yes"}),
        "tiny-reranker gives 2 numbers for a pair (id2label or num_labels in config.json); a reranker gives one",
    ),
    "three labels": (
        "tiny-reranker-bert",
        lambda f: edit_config(f, id2label=None, label2id=None, num_labels=3),
        "gives 3 numbers for a pair",
    ),
    "labels not told": (
        "tiny-reranker-bert",
        lambda f: edit_config(f, id2label=None, label2id=None),
        "gives 2 numbers for a pair",  # transformers' default
    ),
    "head of two labels": (
        "tiny-reranker",
        lambda f: replace(f, "classifier.out_proj.weight", torch.ones(2, 32)),
        "model.safetensors cannot be read",
    ),
    "no head": (
        "tiny-reranker",
        lambda f: drop(f, "classifier.dense.bias", "classifier.out_proj.weight"),
        "lacks weights of the classification head: classifier.dense.bias and 1 more",
    ),
    "no pooler": (
        "tiny-reranker-bert",
        lambda f: drop(f, "bert.pooler.dense.weight"),
        "lacks weights of the encoder: bert.pooler.dense.weight",
    ),
    "one token type": (
        "tiny-reranker-bert",
        lambda f: (
            edit_config(f, type_vocab_size=1),
            replace(f, "bert.embeddings.token_type_embeddings.weight", torch.ones(1, 32)),
        ),
        "token types that the model does not have",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_spoiled_checkpoint(case: str, copy_of: CopyOf, place: Path, command: Command) -> None:
    name, spoil, message = SPOILED[case]
    folder = copy_of(name)
    spoil(folder)
    run = command(folder, "-o", place / "out")
    assert run.status == 1
    assert message in run.error
    assert os.listdir(place) == []


def test_embedder_is_no_reranker(place: Path, command: Command) -> None:
    run = command(MODELS / "tiny-bert", "-o", place / "out", "--kind", "reranker")
    assert run.status == 1
    assert "tiny-bert is not a reranker: config.json names the class BertModel" in run.error
    assert os.listdir(place) == []


def test_length_without_room_for_a_pair(place: Path, command: Command) -> None:
    run = command(MODELS / "tiny-reranker", "-o", place / "out", "--max-length", 3)
    assert run.status == 1
    assert "A maximum length of 3 leaves no room for the special tokens" in run.error
