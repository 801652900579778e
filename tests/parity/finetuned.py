"""Fine-tuned models come home: what FlagEmbedding's and sentence-transformers' trainers leave opens here, `make finetuned`.

Each trainer runs for a few steps on the CPU, on tiny models; each folder that it leaves is opened by bge-fast and by the
package that trained it, and their numbers are compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bge_fast
from tests.fixtures.sentences import read_sentences
from tests.parity.checkpoints import MODELS
from tests.parity.live import Note, noted

pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
VECTORS, SCORES = 1e-5, 1e-4
SENTENCES = [sentence.text for sentence in read_sentences()]
# The last is longer than what the trainers cut at, which they leave in tokenizer.json.
TEXTS = [*SENTENCES[:30], " ".join(SENTENCES[:20])]
PAIRS = [(TEXTS[place], TEXTS[-1 - place]) for place in range(16)]
OFTEN = "--max_steps 4 --save_steps 2 --per_device_train_batch_size 2 --train_group_size 3 --learning_rate 3e-3"
CPU = "--query_max_len 32 --passage_max_len 48 --use_cpu True --report_to none --logging_steps 1 --dataloader_num_workers 0"
SAVED = ("", "checkpoint-2", "checkpoint-4")


@pytest.fixture(scope="module")
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    yield from noted(request)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training rows as mining leaves them, with a teacher's scores."""
    file = tmp_path_factory.mktemp("data") / "train.jsonl"
    groups = [SENTENCES[place : place + 6] for place in range(0, 72, 6)]
    rows = [
        {"query": one[0], "pos": [one[1]], "neg": one[2:], "pos_scores": [4.0], "neg_scores": [1.0, 0.5, 0.0, -1.0]}
        for one in groups
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def trained(trainer: str, model: str, data: Path, out: Path, options: str = "") -> Path:
    """What one of FlagEmbedding's trainers leaves."""
    words = f"--model_name_or_path {MODELS / model} --train_data {data} --output_dir {out} {OFTEN} {CPU} {options}"
    command = [sys.executable, "-m", f"FlagEmbedding.finetune.{trainer}", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def largest(wanted: Any, found: Any) -> float:
    return float(np.abs(np.asarray(wanted, np.float64) - np.asarray(found, np.float64)).max())


@pytest.mark.parametrize(
    ("model", "pooling", "options"),
    [
        ("tiny-bert", "cls", ""),
        ("tiny-bert", "mean", "--sentence_pooling_method mean --knowledge_distillation True"),
        ("tiny-xlmr", "cls", "--use_mrl True --mrl_dims 8 16 32"),
    ],
)
def test_embedders(tmp_path, data, note, model, pooling, options):
    from FlagEmbedding import FlagModel

    out = trained("embedder.encoder_only.base", model, data, tmp_path / "out", options)
    before = bge_fast.FlagModel(str(MODELS / model), devices="cpu", pooling_method=pooling).encode(TEXTS)
    for saved in SAVED:
        folder = str(out / saved)
        wanted = FlagModel(folder, use_fp16=False, devices="cpu", pooling_method=pooling).encode(TEXTS)
        found = bge_fast.FlagModel(folder, devices="cpu", pooling_method=pooling).encode(TEXTS)
        note(model, saved or "output", f"trained, {pooling}", "dense", largest(wanted, found))
        assert largest(wanted, found) < VECTORS
        assert largest(wanted, before) > 1e-2, "the trainer changed nothing"


def test_m3(tmp_path, data, note):
    from FlagEmbedding import BGEM3FlagModel

    options = "--unified_finetuning True --use_self_distill True"
    out = trained("embedder.encoder_only.m3", "tiny-m3", data, tmp_path / "out", options)
    wants = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    for saved in SAVED:
        folder = str(out / saved)
        wanted = BGEM3FlagModel(folder, use_fp16=False, devices="cpu").encode(TEXTS, **wants)
        found = bge_fast.BGEM3FlagModel(folder, devices="cpu").encode(TEXTS, **wants)
        assert [one.keys() for one in wanted["lexical_weights"]] == [one.keys() for one in found["lexical_weights"]]
        weights = zip(wanted["lexical_weights"], found["lexical_weights"], strict=True)
        colbert = zip(wanted["colbert_vecs"], found["colbert_vecs"], strict=True)
        for what, difference in {
            "dense": largest(wanted["dense_vecs"], found["dense_vecs"]),
            "sparse": max(largest(list(one.values()), [other[key] for key in one]) for one, other in weights if one),
            "colbert": max(largest(one, other) for one, other in colbert),
        }.items():
            note("tiny-m3", saved or "output", "trained, unified", what, difference)
            assert difference < VECTORS


@pytest.mark.parametrize("model", ["tiny-reranker", "tiny-reranker-bert"])
def test_rerankers(tmp_path, data, note, model):
    from FlagEmbedding import FlagReranker

    out = trained("reranker.encoder_only.base", model, data, tmp_path / "out", "--max_len 96")
    for saved in SAVED:
        folder = str(out / saved)
        wanted = FlagReranker(folder, use_fp16=False, devices="cpu").compute_score(PAIRS)
        found = bge_fast.FlagReranker(folder, devices="cpu").compute_score(PAIRS)
        note(model, saved or "output", "trained", "logits", largest(wanted, found))
        assert largest(wanted, found) < SCORES


def test_adapters(tmp_path, data, note):
    from FlagEmbedding import FlagLLMModel

    options = "--use_lora True --lora_rank 4 --target_modules q_proj v_proj --save_merged_lora_model True"
    out = trained(
        "embedder.decoder_only.base", "decoder-qwen2", data, tmp_path / "out", f"{options} --use_flash_attn False"
    )
    wanted = FlagLLMModel(str(out / "merged_model"), use_fp16=False, devices="cpu").encode(TEXTS)
    merged = bge_fast.merge_lora(out, tmp_path / "merged", base=str(MODELS / "decoder-qwen2"))
    for what, folder in {"merged there": str(out / "merged_model"), "merged here": merged, "adapter": str(out)}.items():
        found = bge_fast.FlagLLMModel(folder, devices="cpu").encode(TEXTS)
        note("decoder-qwen2", "output", "trained, LoRA", what, largest(wanted, found))
        assert largest(wanted, found) < VECTORS
    assert largest(wanted, bge_fast.FlagLLMModel(str(MODELS / "decoder-qwen2")).encode(TEXTS)) > 1e-4


def test_embedders_of_sentence_transformers(tmp_path, data, note):
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    rows = [json.loads(line) for line in data.read_text().splitlines()]
    columns = {"anchor": [one["query"] for one in rows], "positive": [one["pos"][0] for one in rows]}
    model = SentenceTransformer(str(MODELS / "tiny-bert"), device="cpu")
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), max_steps=4, save_steps=2, learning_rate=3e-3, use_cpu=True, report_to="none",
        per_device_train_batch_size=4,
    )  # fmt: skip
    SentenceTransformerTrainer(
        model, arguments, Dataset.from_dict(columns), loss=MultipleNegativesRankingLoss(model)
    ).train()
    model.save_pretrained(str(tmp_path / "out"))
    for saved in SAVED:
        folder = str(tmp_path / "out" / saved)
        wanted = SentenceTransformer(folder, device="cpu").encode(TEXTS, normalize_embeddings=True)
        found = bge_fast.FlagModel(folder, devices="cpu").encode(TEXTS)
        note("tiny-bert", saved or "output", "sentence-transformers", "dense", largest(wanted, found))
        assert largest(wanted, found) < VECTORS


def test_cross_encoders_of_sentence_transformers(tmp_path, data, note):
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from torch.nn import Identity

    rows = [json.loads(line) for line in data.read_text().splitlines()]
    pairs = [
        (one["query"], text, label) for one in rows for text, label in ((one["pos"][0], 1.0), (one["neg"][0], 0.0))
    ]
    columns = dict(zip(("query", "passage", "label"), map(list, zip(*pairs, strict=True)), strict=True))
    model = CrossEncoder(str(MODELS / "tiny-reranker-bert"), num_labels=1, device="cpu")
    arguments = CrossEncoderTrainingArguments(
        str(tmp_path / "out"), max_steps=4, save_steps=2, learning_rate=3e-3, use_cpu=True, report_to="none",
        per_device_train_batch_size=4,
    )  # fmt: skip
    CrossEncoderTrainer(model, arguments, Dataset.from_dict(columns), loss=BinaryCrossEntropyLoss(model)).train()
    model.save_pretrained(str(tmp_path / "out"))
    for saved in SAVED:
        folder = str(tmp_path / "out" / saved)
        wanted = CrossEncoder(folder, device="cpu").predict(PAIRS, activation_fn=Identity())
        found = bge_fast.FlagReranker(folder, devices="cpu").compute_score(PAIRS)
        note("tiny-reranker-bert", saved or "output", "sentence-transformers", "logits", largest(wanted, found))
        assert largest(wanted, found) < SCORES
