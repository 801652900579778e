"""Vectors, lexical weights and scores in every form and precision beside the CPU's in float32."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from models import CHECKPOINTS, make, path_of, texts_of
from results import Results, parse

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker

# Least cosine, and largest difference of a logit.
COSINE = {"fp32": 0.999999, "fp16": 0.9999}
LOGIT = {"fp32": 1e-3, "fp16": 0.02}
LENGTHS = (2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 255, 256, 257, 300, 400, 511, 512)
_EMBEDDERS = ("tiny-bert", "tiny-xlmr", "tiny-roberta", "tiny-distilbert", "tiny-electra", "tiny-mpnet")


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "parity")
    precisions = ("fp32",) if options.dry else ("fp32", "fp16")
    for name in _EMBEDDERS:
        embedder(results, options, CHECKPOINTS / name, precisions if name != "tiny-mpnet" else ("fp32",), 60)
    m3(results, options, precisions)
    for size in ("tiny",) if options.dry else ("small", "base", "large"):
        embedder(results, options, path_of(options.models, size), precisions, 512)
    reranker(results, options, precisions)
    results.end()


def embedder(
    results: Results, options: argparse.Namespace, folder: Path, precisions: tuple[str, ...], longest: int
) -> None:
    """Texts of one call, each alone, and pooled otherwise."""
    texts = ["", *texts_of([length for length in LENGTHS if length <= longest])]
    cpu = FlagModel(str(folder), devices="cpu")
    for precision in precisions:
        model = FlagModel(str(folder), devices=options.device, precision=precision)
        for pooling in ("cls", "mean"):
            cpu.pooling_method = model.pooling_method = pooling
            expected = cpu.encode(texts)
            forms = {"together": model.encode(texts), "one by one": np.stack([model.encode(text) for text in texts])}
            forms["again"] = np.stack([model.encode(text) for text in texts])
            forms["few"] = np.concatenate([model.encode(texts[start : start + 5]) for start in range(0, len(texts), 5)])
            for form, found in forms.items():
                cosine = (found * expected).sum(axis=1)
                worst, furthest = float(cosine.min()), float(np.abs(found - expected).max())
                row = {"model": folder.name, "pooling": pooling, "precision": precision, "form": form}
                words = len(texts[int(cosine.argmin())].split())
                results.add(worst >= COSINE[precision], **row, cosine=f"{worst:.7f}", max_abs=furthest, at_words=words)


def m3(results: Results, options: argparse.Namespace, precisions: tuple[str, ...]) -> None:
    """All three outputs."""
    folder, texts = str(CHECKPOINTS / "tiny-m3"), texts_of(list(range(3, 50, 4)))
    asked: dict[str, Any] = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    expected = BGEM3FlagModel(folder, devices="cpu").encode(texts, **asked)
    for precision, alone in itertools.product(precisions, (False, True)):
        model = BGEM3FlagModel(folder, devices=options.device, precision=precision)
        parts = [model.encode([text], **asked) for text in texts] if alone else [model.encode(texts, **asked)]
        found = {key: [row for part in parts for row in part[key]] for key in expected}
        dense = float((np.stack(found["dense_vecs"]) * expected["dense_vecs"]).sum(axis=1).min())
        pairs = list(zip(found["colbert_vecs"], expected["colbert_vecs"], strict=True))
        colbert = min(float((one * other).sum(axis=1).min()) for one, other in pairs)
        weights = zip(found["lexical_weights"], expected["lexical_weights"], strict=True)
        lexical = max(abs(float(one.get(key, 0)) - float(other[key])) for one, other in weights for key in other)
        ok = dense >= COSINE[precision] and colbert >= COSINE[precision] and lexical <= LOGIT[precision]
        form = "one by one" if alone else "together"
        results.add(ok, model="tiny-m3", precision=precision, form=form, dense=dense, colbert=colbert, lexical=lexical)


def reranker(results: Results, options: argparse.Namespace, precisions: tuple[str, ...]) -> None:
    """Logits of pairs, with token types and without."""
    folders = [CHECKPOINTS / "tiny-reranker", CHECKPOINTS / "tiny-reranker-bert"]
    large = options.models / "reranker"
    if not large.exists():
        make(large, *((2, 128, 4) if options.dry else (12, 768, 12)), reranker=True)
    for folder in (*folders, large):
        pairs = list(zip(texts_of([5] * 12), texts_of(list(range(3, 51, 4)), seed=99), strict=True))
        expected = np.array(FlagReranker(str(folder), devices="cpu").compute_score(pairs))
        for precision in precisions:
            model = FlagReranker(str(folder), devices=options.device, precision=precision)
            scores = {"together": model.compute_score(pairs)}
            scores["one by one"] = [model.compute_score([pair])[0] for pair in pairs]
            for form, found in scores.items():
                furthest = float(np.abs(np.array(found) - expected).max())
                row = {"model": folder.name, "precision": precision, "form": form}
                results.add(furthest <= LOGIT[precision], **row, max_abs=furthest, of=float(np.abs(expected).max()))


if __name__ == "__main__":
    main()
