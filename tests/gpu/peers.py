"""Times bge-fast and sentence-transformers in fp16 on the same texts and one GPU, each in a process of its own.

    python tests/gpu/peers.py EXPORTED_FOLDER CHECKPOINT [--texts corpus.jsonl] [--device cpu --scale 0.01]

Without `--texts`, a file with a "text" in each line, words are drawn at random.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from check import make_text, show_table

_CONTENDERS = ("bge-fast, exported", "bge-fast, checkpoint", "sentence-transformers")
_MANY, _FEW_WORDS = 4096, 16384
_QUERIES = 400
_PASSES = 3
_NO_LIMIT = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", choices=_CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options, open_contender(options))))
        return
    rows = []
    for name in _CONTENDERS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        figures = json.loads(answer.stdout.splitlines()[-1]) if answer.returncode == 0 else ["failed"] * 4
        rows.append((name, *figures))
    show_table(("", "abstracts/s, each pass", "10 words, texts/s", "one query p50, ms", "p99"), rows)


def open_contender(options: argparse.Namespace) -> Callable[[Any], object]:
    """A function that encodes one text or many."""
    if options.only == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        peer = SentenceTransformer(str(options.checkpoint), device=options.device)
        peer = peer if options.device == "cpu" else peer.half()
        return lambda texts: peer.encode(texts, batch_size=256, normalize_embeddings=True, show_progress_bar=False)
    from bge_fast import FlagModel

    folder = options.exported if options.only.endswith("exported") else options.checkpoint
    model = FlagModel(str(folder), devices=options.device, use_fp16=True)
    return lambda texts: model.encode(texts, batch_size=_NO_LIMIT)


def measure(options: argparse.Namespace, encode: Callable[[Any], object]) -> list[str]:
    """Rates and times as the table shows them."""
    lines = options.texts.read_text().splitlines() if options.texts else []
    source = [json.loads(line)["text"] for line in lines] or [make_text(160, seed) for seed in range(1024)]
    # A number in front makes every text one of its own.
    numbered = [f"{i} {source[i % len(source)]}" for i in range(_FEW_WORDS)]
    abstracts = numbered[: int(_MANY * options.scale)]
    short = [" ".join(text.split()[:10]) for text in numbered][: int(_FEW_WORDS * options.scale)]
    encode(short[:64])
    rates = {}
    for name, texts in (("abstracts", abstracts), ("short", short)):
        rates[name] = [len(texts) / seconds(encode, texts) for _ in range(_PASSES)]
    times = sorted(seconds(encode, text) for text in short[: int(_QUERIES * min(options.scale, 1))] or short)
    return [
        ", ".join(f"{rate:.0f}" for rate in rates["abstracts"]),
        f"{sorted(rates['short'])[_PASSES // 2]:.0f}",
        f"{1e3 * times[len(times) // 2]:.2f}",
        f"{1e3 * times[int(len(times) * 0.99)]:.2f}",
    ]


def seconds(encode: Callable[[Any], object], texts: str | list[str]) -> float:
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
