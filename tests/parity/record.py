"""Record golden values from FlagEmbedding: `python -m tests.parity.record [model …]`.

Models that are absent are reported and left as they are; exemptions are rewritten for those recorded.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from FlagEmbedding import FlagModel

from tests.parity.activations import KEYS as OTHER_ACTIVATIONS
from tests.parity.cases import CASES, LENGTHS, M3_NAMES, RERANKER_CASES, CaseCall, select_texts
from tests.parity.checkpoints import find_checkpoint
from tests.parity.golden import DATA, FOLDER, FULL_LENGTH, Ids, cut, load_texts, pack_ids, pack_vectors
from tests.parity.record_activations import record_activations
from tests.parity.record_m3 import record_m3
from tests.parity.record_modules import modules
from tests.parity.record_reranker import record_reranker
from tests.parity.record_signatures import signatures
from tests.parity.stored import REASONS, StoredTokenizer

BATCH_SIZE = 16
PACKAGES = ("FlagEmbedding", "transformers", "tokenizers", "torch", "sentencepiece", "safetensors", "numpy")


def main(wanted: list[str]) -> None:
    """Record the models named, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in wanted or [*CASES, *M3_NAMES, *RERANKER_CASES]:
        size = record(name)
        print(f"{name}: absent, not recorded" if size is None else f"{name}: {size} bytes", flush=True)
    write_json(DATA / "flagembedding_signatures.json", signatures())
    write_json(DATA / "flagembedding_modules.json", modules())
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    write_json(FOLDER / "versions.json", {"python": platform.python_version(), **versions})


def record(name: str) -> int | None:
    """Record one model; returns the bytes written, None where its checkpoint is absent."""
    if name in M3_NAMES:
        return record_m3(name)
    folder = find_checkpoint(name)
    if folder is None:
        return None
    return record_reranker(name, folder) if name in RERANKER_CASES else record_model(name, folder)


def record_model(name: str, folder: Path) -> int:
    """Write `<name>.npz`, `<name>.json` and the model's part of `exemptions.json`; returns the bytes of the first."""
    texts = load_texts()
    labels = select_texts(list(texts))
    tokenizer = open_model(folder, {}).tokenizer
    stored = StoredTokenizer(folder)
    full = {label: tokenize(tokenizer, text) for label, text in texts.items()}
    exempt = find_exempt(stored, {label: (texts[label], full[label]) for label in texts})
    if name in OTHER_ACTIVATIONS:
        record_activations(name)
    arrays = pack_ids("ids", list(full.values()))
    arrays |= pack_ids("ids-stored", [stored.ids(texts[label]) for label in exempt])
    for length in LENGTHS:
        arrays |= pack_ids(f"ids-{length}", [tokenize(tokenizer, texts[label], length) for label in labels["some"]])
    check_cut(tokenizer, texts, full)
    case_exempt = {}
    for case in CASES[name]:
        chosen = labels[case.texts]
        vectors, inputs = run_case(folder, case, [texts[label] for label in chosen])
        arrays[f"vectors-{case.name}"] = pack_vectors(vectors)
        read = {label: (text, tokenize(tokenizer, text)) for label, text in zip(chosen, inputs, strict=True)}
        found = find_exempt(stored, read)
        if found != {label: reason for label, reason in exempt.items() if label in read}:
            case_exempt[case.name] = found
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    cases = [case._asdict() for case in CASES[name]]
    meta = {"lengths": LENGTHS, "cases": cases, "labels": labels}
    write_json(FOLDER / f"{name}.json", meta)
    write_exemptions(name, exempt, case_exempt)
    return (FOLDER / f"{name}.npz").stat().st_size


def open_model(folder: Path, options: dict[str, Any]) -> FlagModel:
    """FlagEmbedding's own model in true fp32 on the CPU."""
    return FlagModel(str(folder), use_fp16=False, devices="cpu", batch_size=BATCH_SIZE, **options)


def tokenize(tokenizer: Any, text: str, max_length: int | None = None) -> Ids:
    """The ids FlagEmbedding would feed; uncut without a length."""
    if max_length is None:
        return list(tokenizer(text, verbose=False)["input_ids"])
    return list(tokenizer(text, truncation=True, max_length=max_length)["input_ids"])


def check_cut(tokenizer: Any, texts: dict[str, str], full: dict[str, Ids]) -> None:
    """Only uncut ids are stored: make sure that cutting them gives what the tokenizer gives."""
    for label, text in texts.items():
        for length in (3, FULL_LENGTH):
            if cut(full[label], length) != tokenize(tokenizer, text, length):
                raise ValueError(f"{label}: truncation to {length} is not a plain cut")


def run_case(folder: Path, case: CaseCall, texts: list[str]) -> tuple[np.ndarray, list[str]]:
    """The vectors of one call, and the texts as the tokenizer saw them."""
    model = open_model(folder, case.options)
    inputs: list[str] = []
    encode_single_device = model.encode_single_device

    def listen(sentences: list[str], **arguments: Any) -> np.ndarray:
        inputs.extend(sentences)
        return encode_single_device(sentences, **arguments)

    model.encode_single_device = listen
    vectors = getattr(model, case.call)(texts, **case.arguments)
    if vectors.dtype != np.float32 or not np.isfinite(vectors).all():
        raise ValueError(f"{case.name}: expected finite fp32 vectors")
    return vectors, inputs


def find_exempt(stored: StoredTokenizer, read: dict[str, tuple[str, Ids]]) -> dict[str, str]:
    """Labels of the texts whose ids are no reference, with the reason."""
    reasons = {label: stored.reason_to_exempt(text, ids) for label, (text, ids) in read.items()}
    return {label: reason for label, reason in reasons.items() if reason}


def write_exemptions(name: str, exempt: dict[str, str], case_exempt: dict[str, dict[str, str]]) -> None:
    """Replace the model's part; a case is listed only where an instruction makes it differ from the texts."""
    path = FOLDER / "exemptions.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"texts": {}, "cases": {}}
    known["texts"][name] = exempt
    known["cases"][name] = case_exempt
    lengths = {str(length): "length-below-specials" for length in LENGTHS if length < 2}
    write_json(path, {"reasons": REASONS, "lengths": lengths, "texts": known["texts"], "cases": known["cases"]})


def write_json(path: Path, value: object) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
