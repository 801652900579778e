"""Record golden values of FlagReranker; called by `record.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.parity.cases import RERANKER_CASES, select_pairs
from tests.parity.golden import load_texts, pack_vectors
from tests.parity.golden_reranker import FOLDER
from tests.parity.record_m3 import places, without
from tests.parity.reference_reranker import ReferenceReranker
from tests.parity.threads import one_thread

# 500 tokens alike at one position: FlagEmbedding's own fp32 is 5e-5 from fp64 there, and may be as much on another CPU.
LEFT_OUT = "pad-700"


def record_reranker(name: str, folder: Path) -> int:
    """Write `<name>.npz` and `<name>.json`; returns the bytes written."""
    texts = load_texts()
    labels = list(texts)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for call in RERANKER_CASES[name]:
        chosen = [pair for pair in select_pairs(labels)[call.pairs] if LEFT_OUT not in pair]
        model = ReferenceReranker(folder, **call.options)
        with one_thread():
            scores = model.compute_score([(texts[one], texts[other]) for one, other in chosen], **call.arguments)
        kept = [(pair, score) for pair, score in zip(chosen, scores, strict=True) if score is not None]
        arrays[f"{call.name}-pairs"] = places(labels, [pair for pair, _ in kept])
        arrays[call.name] = pack_vectors([score for _, score in kept])
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    meta = {"labels": labels, "cases": [without(call, "pairs") for call in RERANKER_CASES[name]]}
    (FOLDER / f"{name}.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return (FOLDER / f"{name}.npz").stat().st_size
