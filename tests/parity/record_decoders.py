"""Record golden values of FlagEmbedding's decoder classes: `python -m tests.parity.record_decoders [checkpoint …]`.

Each item is run alone, in fp32, with eager attention where there is a choice. No version of transformers runs all
classes: those that the installed one does not run are left as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import FlagEmbedding
import numpy as np
import transformers

from tests.parity.cases import CaseCall, ScoreCall
from tests.parity.cases_decoders import MORE_TEXTS, RECORDED, Recorded, chosen_pairs, chosen_texts, texts_by_label
from tests.parity.checkpoints import MODELS
from tests.parity.golden import Ids, pack_ids, pack_vectors
from tests.parity.golden_decoders import FOLDER
from tests.parity.stored import StoredTokenizer
from tests.parity.threads import one_thread

OPTIONS: dict[str, Any] = {"use_fp16": False, "devices": "cpu"}
RUNS_LAYERS = transformers.__version__.startswith("4.")


def main(wanted: list[str]) -> None:
    """Record the checkpoints named, or all that the installed transformers runs."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json(FOLDER / "texts.json", {"more": MORE_TEXTS})
    for name in wanted or RECORDED:
        if RECORDED[name].layers == RUNS_LAYERS:
            print(f"{name}: {record(name, RECORDED[name])} bytes", flush=True)


def record(name: str, recorded: Recorded) -> int:
    """Write `<name>.npz` and `<name>.json`; returns the bytes of the first."""
    labels = list(texts_by_label())
    arrays: dict[str, Any] = {}
    for case in recorded.cases:
        items, ids, results = run(name, recorded.opened_by, case)
        arrays[f"{case.name}-items"] = np.array([[labels.index(one) for one in item] for item in items], np.uint16)
        arrays |= pack_ids(f"{case.name}-ids", ids)
        arrays[case.name] = pack_vectors(results)
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    cases = [described(case) for case in recorded.cases]
    write_json(FOLDER / f"{name}.json", {"opened_by": recorded.opened_by, "labels": labels, "cases": cases})
    return (FOLDER / f"{name}.npz").stat().st_size


def described(case: CaseCall | ScoreCall) -> dict[str, Any]:
    """How the class is called."""
    call = case.call if isinstance(case, CaseCall) else "compute_score"
    return {"name": case.name, "call": call, "options": case.options, "arguments": case.arguments}


def run(name: str, opened_by: str, case: CaseCall | ScoreCall) -> tuple[list[tuple[str, ...]], list[Ids], np.ndarray]:
    """Items by label, ids and results of one call; items whose ids are no reference are left out."""
    texts = texts_by_label()
    model = open_model(MODELS / name, opened_by, case.options)
    read = listen(model.model)
    items, call = items_and_call(model, case, texts)
    stored = StoredTokenizer(MODELS / name) if name == "decoder-reranker-llama" else None
    kept, ids, results = [], [], []
    with one_thread():
        for item in items:
            if stored is not None and any(is_rebuilt(stored, model.tokenizer, texts[label]) for label in item):
                continue
            results.append(np.ravel(call([texts[label] for label in item])))
            kept.append(item)
            ids.append(read[-1])
    if not np.isfinite(results).all():
        raise ValueError(f"{name}, {case.name}: a result is not finite")
    return kept, ids, np.array(results, dtype=np.float64)


def items_and_call(
    model: Any, case: CaseCall | ScoreCall, texts: dict[str, str]
) -> tuple[list[tuple[str, ...]], Callable[[list[str]], Any]]:
    """What a case is called with, by label, and the call for one item."""
    if isinstance(case, CaseCall):
        call = getattr(model, case.call)
        return [(label,) for label in chosen_texts()[case.texts]], lambda item: call(item, **case.arguments)
    return list(chosen_pairs()[case.pairs]), lambda item: model.compute_score([tuple(item)], **case.arguments)


def open_model(folder: Path, opened_by: str, options: dict[str, Any]) -> Any:
    """FlagEmbedding's own object, in fp32 on the CPU."""
    model = getattr(FlagEmbedding, opened_by)(str(folder), **{**OPTIONS, **options})
    model.model.float().eval()
    if not RUNS_LAYERS:
        model.model.set_attn_implementation("eager")
    return model


def listen(model: Any) -> list[Ids]:
    """A list that gets the ids of each text that the model is given alone, without padding."""
    read: list[Ids] = []

    def keep(_model: Any, _arguments: Any, keywords: dict[str, Any]) -> None:
        mask = keywords["attention_mask"][0].bool()
        read.append(keywords["input_ids"][0][mask].tolist())

    model.register_forward_pre_hook(keep, with_kwargs=True)
    return read


def is_rebuilt(stored: StoredTokenizer, tokenizer: Any, text: str) -> bool:
    """Whether transformers 5, which builds Llama's tokenizer anew, gives other ids than the file as it is stored."""
    return any(
        stored.tokenizer.encode(one, add_special_tokens=False).ids
        != tokenizer(one, add_special_tokens=False)["input_ids"]
        for one in (text, f"A: {text}", f"B: {text}", f"Question: {text}", f"[{text}]\n")
    )


def write_json(path: Path, value: object) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
