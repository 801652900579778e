"""Does it run at all: the machine, the library, one tiny and one small model in both precisions beside the CPU."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from models import CHECKPOINTS, path_of, text_of
from results import NO_GPU, Results, parse

from bge_fast import BGEFastError, FlagModel


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "first light")
    tiny = str(CHECKPOINTS / "tiny-bert")
    try:
        info = FlagModel(tiny, devices=options.device).info()
    except BGEFastError as error:
        print(f"{options.device} cannot be checked: {error}")
        raise SystemExit(NO_GPU) from error
    results.add(card=card(), cores=len(os.sched_getaffinity(0)), library=Path(info["runtime_library"]).name)
    for model in (tiny, str(path_of(options.models, "tiny" if options.dry else "small"))):
        texts = [text_of(tokens, tokens) for tokens in (2, 3, 9, 33, 200, 400)]
        expected = FlagModel(model, devices="cpu").encode(texts)
        for precision in ("fp32",) if options.dry else ("fp32", "fp16"):
            start = time.perf_counter()
            opened = FlagModel(model, devices=options.device, precision=precision)
            found = opened.encode(texts)
            seconds = time.perf_counter() - start
            cosine = float((found * expected).sum(axis=1).min())
            nodes = opened.info()["nodes_by_provider"]
            ok = cosine >= 0.9999 and (options.dry or set(nodes) == {"CUDAExecutionProvider"})
            name = Path(model).name
            results.add(ok, model=name, precision=precision, nodes=nodes, cosine=f"{cosine:.7f}", opened_s=seconds)
            print("one query, ms:", [round(1e3 * timed(opened, f"query {i}"), 2) for i in range(6)], flush=True)
    results.end()


def timed(model: FlagModel, text: str) -> float:
    start = time.perf_counter()
    model.encode(text)
    return time.perf_counter() - start


def card() -> str:
    """The card as its driver calls it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "none"


if __name__ == "__main__":
    main()
