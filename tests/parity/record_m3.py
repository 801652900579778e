"""Record golden values of BGEM3FlagModel; called by `record.py`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.parity.cases import M3_CASES, M3_SCORE_CASES, CaseCall, select_pairs, select_texts
from tests.parity.golden import load_texts, pack_vectors
from tests.parity.golden_m3 import FOLDER, MODES, pack_rows, pack_weights
from tests.parity.reference_m3 import m3_checkpoint, open_reference, reference_scores
from tests.parity.stored import StoredTokenizer
from tests.parity.threads import one_thread

# Multi-vectors are large: all of a few texts, and of these but one without hundreds of tokens.
COLBERT_EVERY, COLBERT_ROWS, LONG_ONE = 6, 40, "near-limit-513"
Texts = dict[str, str]


def record_m3(name: str) -> int:
    """Write `<name>.npz` and `<name>.json`; returns the bytes of the first."""
    texts = load_texts()
    labels = list(texts)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch, one_thread():
        folder = m3_checkpoint(name, Path(scratch))
        for case in M3_CASES:
            arrays |= record_case(folder, case, texts)
        kept = find_kept(folder, texts)
        for call in M3_SCORE_CASES:
            chosen = [pair for pair in select_pairs(labels)[call.pairs] if kept.issuperset(pair)]
            scores = reference_scores(folder, call, [(texts[one], texts[other]) for one, other in chosen])
            arrays[f"scores-{call.name}-pairs"] = places(labels, chosen)
            arrays[f"scores-{call.name}"] = pack_vectors(np.array([scores[mode] for mode in MODES]).T)
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    meta = {
        "labels": labels,
        "cases": [without(case, "texts") for case in M3_CASES],
        "scores": [without(call, "pairs") for call in M3_SCORE_CASES],
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return (FOLDER / f"{name}.npz").stat().st_size


def record_case(folder: Path, case: CaseCall, texts: Texts) -> dict[str, np.ndarray[Any, Any]]:
    """The three results of one call, for the texts whose ids are a reference."""
    labels = list(texts)
    read = {label: texts[label] for label in select_texts(labels)[case.texts]}
    kept = find_kept(folder, read, case)
    chosen = [label for label in read if label in kept]
    model = open_reference(folder, case.options)
    results = getattr(model, case.call)([texts[label] for label in chosen], **case.arguments)
    rows = [
        row
        for row, (label, vectors) in enumerate(zip(chosen, results["colbert_vecs"], strict=True))
        if (row % COLBERT_EVERY == 0 and len(vectors) <= COLBERT_ROWS) or (label == LONG_ONE and case.name == "all")
    ]
    return {
        f"{case.name}-texts": places(labels, chosen),
        f"{case.name}-dense": pack_vectors(results["dense_vecs"]),
        **pack_weights(f"{case.name}-lexical", results["lexical_weights"]),
        f"{case.name}-colbert-rows": np.array(rows, np.uint16),
        **pack_rows(f"{case.name}-colbert", [results["colbert_vecs"][row] for row in rows]),
    }


def find_kept(folder: Path, texts: Texts, case: CaseCall | None = None) -> frozenset[str]:
    """Labels of the texts whose ids in FlagEmbedding, with the call's instruction, are a reference."""
    model, stored = open_reference(folder, case.options if case else {}), StoredTokenizer(folder)
    read = list(texts.values())
    if case and case.call == "encode_queries":
        form, instruction = model.query_instruction_format, model.query_instruction_for_retrieval
        read = [model.get_detailed_instruct(form, instruction, text) for text in read]
    all_ids = model.tokenizer(read, verbose=False)["input_ids"]
    found = zip(texts, read, all_ids, strict=True)
    return frozenset(label for label, text, ids in found if stored.reason_to_exempt(text, list(ids)) is None)


def places(labels: list[str], chosen: Any) -> np.ndarray[Any, Any]:
    """Labels, or pairs of them, as their places."""
    place = {label: index for index, label in enumerate(labels)}
    found = [[place[one] for one in item] if isinstance(item, tuple) else place[item] for item in chosen]
    return np.array(found, np.uint16)


def without(call: Any, key: str) -> dict[str, Any]:
    """A call's fields but one."""
    return {name: value for name, value in call._asdict().items() if name != key}
