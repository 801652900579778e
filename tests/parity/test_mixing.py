"""Mixed models beside LM_Cocktail's own, and opened by FlagEmbedding: tensors bit by bit, weights, vectors."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from FlagEmbedding import BGEM3FlagModel, FlagModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

import bge_fast
from bge_fast.merging.losses import weights_by_data
from tests.fixtures.sentences import read_sentences
from tests.parity.checkpoints import MODELS as CHECKPOINTS
from tests.parity.live import Note, noted

with warnings.catch_warnings():  # it imports sentence-transformers by its names of old
    warnings.simplefilter("ignore")
    import LM_Cocktail.cocktail as theirs

pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
FACTORS = [0.7, 0.4, -0.1]
MODELS = {
    "tiny-bert": "encoder",
    "tiny-xlmr": "encoder",
    "tiny-distilbert": "encoder",
    "tiny-reranker": "reranker",
    "decoder-qwen3": "decoder",
}
SENTENCES = [sentence.text for sentence in read_sentences()]
EXAMPLES = [
    {"query": SENTENCES[place], "pos": [SENTENCES[place + 1]], "neg": SENTENCES[place + 2 : place + 12]}
    for place in range(0, 60, 12)
]


@pytest.fixture(scope="module")
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    yield from noted(request)


def family(folder: Path, name: str, dtype: torch.dtype) -> list[str]:
    """A checkpoint as transformers writes it, and two with other numbers."""
    paths = []
    for place, _ in enumerate(FACTORS):
        path = shutil.copytree(CHECKPOINTS / name, folder / f"{name}-{place}")
        tensors = stored(path)
        for file in ("model.safetensors", "pytorch_model.bin"):
            (path / file).unlink(missing_ok=True)
        changed = {key: (one.float().roll(place) * (1 + place / 7)).to(dtype) for key, one in tensors.items()}
        save_file(changed, path / "model.safetensors", {"format": "pt"})
        paths.append(str(path))
    return paths


def stored(path: Path) -> dict[str, torch.Tensor]:
    file = path / "model.safetensors"
    return load_file(file) if file.is_file() else torch.load(path / "pytorch_model.bin", weights_only=True)


@pytest.mark.parametrize("name", MODELS)
def test_tensors_are_theirs(tmp_path, name, note):
    paths = family(tmp_path, name, torch.float32)
    wanted = theirs.mix_models(paths, MODELS[name], FACTORS).state_dict()
    found = stored(Path(bge_fast.mix_models(paths, MODELS[name], FACTORS, tmp_path / "out")))
    # Files of decoders are without the name of the network inside the one with a head.
    compared = {short: one for key, one in wanted.items() if (short := key if key in found else key[6:]) in found}
    assert len(compared) > len(found) - 3, "what there is not is a pooler or a head"
    assert all(torch.equal(found[key], compared[key]) for key in compared)
    note(name, "checkpoint", "mix_models", f"{len(compared)} of {len(found)} tensors", 0.0)


def test_sixteen_bits_are_rounded_once(tmp_path, note):
    paths = family(tmp_path, "tiny-bert", torch.bfloat16)
    exact = [{key: one.float() for key, one in stored(Path(path)).items()} for path in paths]
    found = stored(Path(bge_fast.mix_models(paths, weights=FACTORS, output_path=tmp_path / "out")))
    wanted = {key: one.to(torch.bfloat16) for key, one in theirs.merge_param(exact, FACTORS).items()}
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    rounded = theirs.merge_param([stored(Path(path)) for path in paths], FACTORS)
    largest = max(float((rounded[key].float() - wanted[key].float()).abs().max()) for key in wanted)
    note("tiny-bert", "bfloat16", "mix_models", "LM_Cocktail's roundings", largest)


def test_weights_are_theirs(tmp_path, monkeypatch, note):
    paths, told = family(tmp_path, "tiny-bert", torch.float32), []

    def compute_weights(*args: Any, **options: Any) -> list[float]:
        told.append(computed := real(*args, **options))
        return computed

    real = theirs.compute_weights
    monkeypatch.setattr(theirs, "compute_weights", compute_weights)
    for size, negatives in ((2, 7), (4, 3)):
        random.seed(5)
        theirs.mix_models_with_data(
            paths, "encoder", EXAMPLES, batch_size=size, neg_number=negatives, max_input_length=512
        )
        found = weights_by_data(paths, EXAMPLES, batch_size=size, negatives=negatives, seed=5)
        difference = float(np.abs(np.array(told[-1]) - found).max())
        assert difference < 1e-6
        note(
            "tiny-bert",
            "checkpoint",
            f"weights, batches of {size}",
            f"spread {max(found) - min(found):.3f}",
            difference,
        )


def test_flag_embedding_opens_what_was_mixed(tmp_path, note):
    paths = family(tmp_path, "tiny-bert", torch.float32)
    out = bge_fast.mix_models(paths, weights=FACTORS, output_path=tmp_path / "out")
    AutoModel.from_pretrained(out)
    theirs_, ours = FlagModel(out, use_fp16=False, devices="cpu"), bge_fast.FlagModel(out, devices="cpu")
    difference = float(np.abs(theirs_.encode(SENTENCES[:40]) - ours.encode(SENTENCES[:40])).max())
    note("tiny-bert", "mixed", "encode", "dense", difference)
    assert difference < 1e-5
    folder = str(CHECKPOINTS / "tiny-m3")
    out = bge_fast.mix_models([folder, folder], weights=[0.5, 0.5], output_path=tmp_path / "m3")
    options = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    wanted = BGEM3FlagModel(out, use_fp16=False, devices="cpu").encode(SENTENCES[:4], **options)
    found = bge_fast.BGEM3FlagModel(out, devices="cpu").encode(SENTENCES[:4], **options)
    difference = max(
        float(np.abs(one - other).max())
        for one, other in zip(wanted["colbert_vecs"], found["colbert_vecs"], strict=True)
    )
    note("tiny-m3", "mixed", "encode", "colbert", difference)
    assert difference < 1e-5
