"""FlagEmbedding's BGEM3FlagModel, and its scores of pairs where they are a reference."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import torch
from FlagEmbedding import BGEM3FlagModel

from tests.parity.bert_m3 import Head, make_bert_m3
from tests.parity.cases import M3_NAMES, ScoreCall
from tests.parity.checkpoints import find_checkpoint

OPTIONS: dict[str, Any] = {"use_fp16": False, "devices": "cpu", "batch_size": 16}
MODES = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
SCORES = ("colbert", "sparse", "dense", "sparse+dense", "colbert+sparse+dense")
Pairs = list[tuple[str, str]]
Scores = dict[str, list[float]]


def m3_checkpoint(name: str, scratch: Path) -> Path:
    """The checkpoint's folder; the one on BERT is made in `scratch`."""
    if name == M3_NAMES[1]:
        folder = scratch / name
        return folder if folder.is_dir() else make_bert_m3(folder, save_with_torch)
    folder = find_checkpoint(name)
    if folder is None:
        raise FileNotFoundError(f"checkpoint {name} is absent")
    return folder


def save_with_torch(head: Head) -> bytes:
    """What `torch.save` writes for the state of a linear layer."""
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(values) for name, values in head.items()}, file)
    return file.getvalue()


@functools.cache
def _open(folder: Path, options: tuple[tuple[str, Any], ...]) -> BGEM3FlagModel:
    return BGEM3FlagModel(str(folder), **{**OPTIONS, **dict(options)}, **MODES)


def open_reference(folder: Path, options: dict[str, Any]) -> BGEM3FlagModel:
    """FlagEmbedding's model in true fp32 on the CPU that returns everything; opened once."""
    return _open(folder, tuple(sorted(options.items())))


def reference_scores(folder: Path, case: ScoreCall, pairs: Pairs) -> Scores:
    """FlagEmbedding's scores, each pair in a batch of its own: a padded passage has other ones (contract 6.15)."""
    model = open_reference(folder, case.options)
    if model.tokenizer.eos_token_id is None:
        return scores_by_helpers(model, case, pairs)
    return dict(model.compute_score(pairs, batch_size=1, **case.arguments))


def scores_by_helpers(model: BGEM3FlagModel, case: ScoreCall, pairs: Pairs) -> Scores:
    """The same from FlagEmbedding's helpers, since compute_score fails without an eos token (contract 6.16)."""
    arguments = dict(case.arguments)
    dense_weight, sparse_weight, colbert_weight = arguments.pop("weights_for_different_modes", (1, 1, 1))
    query_length = arguments.pop("max_query_length", model.query_max_length)
    passage_length = arguments.pop("max_passage_length", model.passage_max_length)
    truncate_dim, model.truncate_dim = model.truncate_dim, None
    queries = encode_each(model, [query for query, _ in pairs], query_length)
    passages = encode_each(model, [passage for _, passage in pairs], passage_length)
    model.truncate_dim = truncate_dim
    scores: Scores = {mode: [] for mode in SCORES}
    for query, passage in pairs:
        one, other = queries[query], passages[passage]
        dense = float(one["dense_vecs"] @ other["dense_vecs"])
        sparse = float(model.compute_lexical_matching_score(one["lexical_weights"], other["lexical_weights"]))
        colbert = float(model.colbert_score(one["colbert_vecs"], other["colbert_vecs"]))
        two = sparse_weight * sparse + dense_weight * dense
        three = two + colbert_weight * colbert
        sums = (sparse_weight + dense_weight, sparse_weight + dense_weight + colbert_weight)
        for mode, score in zip(SCORES, (colbert, sparse, dense, two / sums[0], three / sums[1]), strict=True):
            scores[mode].append(score)
    return scores


def encode_each(model: BGEM3FlagModel, texts: list[str], max_length: int) -> dict[str, dict[str, Any]]:
    """What FlagEmbedding gives for each text alone."""
    return {text: model.encode(text, max_length=max_length) for text in dict.fromkeys(texts)}
