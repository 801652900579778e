"""One long text in bge-fast: `long_text.py <checkpoint> <tokens> <tokens to compare>`. Prints memory in MB, seconds,
and how far its vector is from that of the graph with a mask."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import memory
import numpy as np
from graphs import Forms
from texts import generate

from bge_fast import FlagModel


def main() -> None:
    folder, tokens, compared = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    text = " ".join(generate(tokens // 100 + 1))
    print(json.dumps({**measure(folder, text, tokens), **compare(folder, text, compared)}))


def measure(folder: Path, text: str, tokens: int) -> dict[str, float]:
    before = memory.private()
    model = FlagModel(str(folder), devices="cpu", passage_max_length=tokens)
    assert len(model.tokenizer(text, max_length=tokens)["input_ids"]) == tokens
    opened = memory.private()
    memory.forget_peak()
    resident = memory.resident()
    start = time.perf_counter()
    with memory.Watch() as watch:
        model.encode(text)
    seconds = time.perf_counter() - start
    growth = {"private": watch.most - opened, "resident": memory.peak() - resident}
    model.close()
    return {"weights": opened - before, "seconds": seconds, **growth}


def compare(folder: Path, text: str, tokens: int) -> dict[str, float]:
    """The graph without a mask, and bge-fast itself, beside the graph with one."""
    with FlagModel(str(folder), devices="cpu", passage_max_length=tokens) as model:
        ids = model.tokenizer(text, max_length=tokens)["input_ids"]
        ours = model.encode(text)
    # One after the other: each session has the weights again.
    masked, plain = (Forms(folder, "cls").first_rows([ids], mask)[0] for mask in (True, False))
    return {"graph": _difference(plain, masked), "ours": _difference(ours, masked)}


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


if __name__ == "__main__":
    main()
