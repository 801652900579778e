"""Compares CUDA with the CPU on one model folder, times both, and provokes broken installations; see run.sh."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import broken
import numpy as np
from numpy.typing import NDArray

from bge_fast import BGEFastError, FlagModel

Matrix = NDArray[np.float32]
_WORDS = (
    "heat",
    "flow",
    "through",
    "a",
    "thin",
    "plate",
    "found",
    "by",
    "the",
    "exact",
    "method",
    "at",
    "high",
    "speed",
)
_FP16 = (0.9999, 2e-3)
_FP32 = (0.999999, 1e-4)
_SHORT, _LONG = 10, 400
_FEW_ON_CPU = {_SHORT: 256, _LONG: 16}
_MANY = {_SHORT: 8192, _LONG: 1024}
_ROUNDS = 3
_QUERIES = 200
_NO_GPU = 2


def main() -> int:
    options = parse()
    if options.vectors:
        np.save(options.vectors, open_model(options, "fp32").encode(parity_texts()))
        return 0
    try:
        models = {precision: open_model(options, precision) for precision in ("fp32", "fp16")}
    except BGEFastError as error:
        print(f"{options.device} cannot be checked: {error}", file=sys.stderr)
        return _NO_GPU
    except ValueError as error:
        if options.device != "cpu":
            raise
        print(f"(a trial on the CPU, without fp16: {error})\n")
        models = {"fp32": open_model(options, "fp32")}
    cpu = FlagModel(str(options.model), devices="cpu")
    print(f"## GPU check of {options.model.name}\n")
    show_machine(models["fp32"])
    good = show_parity(options, models, cpu)
    show_speed(models, cpu, options.scale)
    good &= broken.show(options.model, options.device)
    print("\nEverything agreed." if good else "\n**Something did not agree.**")
    return 0 if good else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder that bge-fast-export wrote")
    parser.add_argument("--device", default="cuda:0", help="cpu tries this program itself out where there is no GPU")
    parser.add_argument("--scale", type=float, default=1.0, help="times fewer or more texts, such as 0.1")
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def open_model(options: argparse.Namespace, precision: str) -> FlagModel:
    return FlagModel(str(options.model), devices=options.device, precision=precision)


def show_machine(model: FlagModel) -> None:
    info = model.info()
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        gpu = "nvidia-smi does not answer"
    show_table(
        ("", ""),
        [
            ("GPU, driver, memory", gpu),
            ("CPU cores", str(len(os.sched_getaffinity(0)))),
            ("ONNX Runtime", f"{info['runtime_version']}, {Path(info['runtime_library']).name}"),
        ],
    )


def show_parity(options: argparse.Namespace, models: dict[str, FlagModel], cpu: FlagModel) -> bool:
    """Vectors of every precision beside the CPU's. fp32 twice: cuBLAS may round its inputs to TF32."""
    texts = parity_texts()
    reference = cpu.encode(texts)
    vectors = {name: model.encode(texts) for name, model in models.items()}
    vectors["fp32, TF32 off"] = vectors_without_tf32(options)
    tf32 = bool(np.abs(vectors["fp32"] - vectors["fp32, TF32 off"]).max() > 1e-6)
    goals = {"fp32": _FP16 if tf32 else _FP32, "fp16": _FP16, "fp32, TF32 off": _FP32}
    rows, good = [], True
    for name, matrix in vectors.items():
        info = models[name.split(",")[0]].info()
        cosine = float((matrix * reference).sum(axis=1).min())
        difference = float(np.abs(matrix - reference).max())
        finite = bool(np.isfinite(matrix).all())
        least, most = goals[name]
        provider = "CPUExecutionProvider" if options.device == "cpu" else "CUDAExecutionProvider"
        ok = finite and cosine >= least and difference <= most and info["execution_provider"] == provider
        good &= ok
        nodes = ", ".join(
            f"{part.removesuffix('ExecutionProvider')} {n}" for part, n in info["nodes_by_provider"].items()
        )
        numbers = (f"{cosine:.7f}", f"≥ {least}", f"{difference:.1e}", f"≤ {most:.0e}", "yes" if finite else "**no**")
        rows.append((name, nodes, *numbers, "ok" if ok else "**no**"))
    print(f"\n{len(texts)} texts of 2 to 512 tokens beside the CPU. fp32 runs with TF32: {'yes' if tf32 else 'no'}.\n")
    show_table(("", "nodes", "least cosine", "goal", "largest difference", "goal", "finite", ""), rows)
    return good


def vectors_without_tf32(options: argparse.Namespace) -> Matrix:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.npy")
        command = [sys.executable, __file__, str(options.model), "--device", options.device, "--vectors", str(file)]
        subprocess.run(command, env={**os.environ, "NVIDIA_TF32_OVERRIDE": "0"}, check=True)
        return np.load(file)


def show_speed(models: dict[str, FlagModel], cpu: FlagModel, scale: float) -> None:
    """Texts a second of short and of long texts, in turns, and the time of one query."""
    contenders = {"CPU fp32": cpu, **{f"{model.target_devices[0]} {name}": model for name, model in models.items()}}
    rates: dict[tuple[str, int], list[float]] = {(name, words): [] for name in contenders for words in (_SHORT, _LONG)}
    batches = {}
    for name, words in rates:
        count = max(int((_FEW_ON_CPU if contenders[name].target_devices == ["cpu"] else _MANY)[words] * scale), 1)
        batches[name, words] = [make_text(words, seed) for seed in range(count)]
        contenders[name].encode(batches[name, words])
    for _ in range(_ROUNDS):
        for key, batch in batches.items():
            rates[key].append(len(batch) / seconds(contenders[key[0]], batch))
    rows = []
    for name, model in contenders.items():
        calls = sorted(seconds(model, make_text(_SHORT, 0)) for _ in range(max(int(_QUERIES * scale), 10)))
        bulk = [f"{median(rates[name, words]):.0f}" for words in (_SHORT, _LONG)]
        threads = median(in_a_new_thread(model) for _ in range(_ROUNDS))
        rows.append(
            (name, *bulk, f"{1e3 * median(calls):.2f}", f"{calls[-1] / median(calls):.1f} ×", f"{1e3 * threads:.2f}")
        )
    print("\nTexts/s are medians of interleaved rounds; CUDA and CPU get different numbers of texts.\n")
    words = f"texts/s, {_SHORT} words", f"texts/s, {_LONG} words"
    show_table(("", *words, "one query p50, ms", "slowest of them", "first in a new thread, ms"), rows)


def seconds(model: FlagModel, texts: str | list[str]) -> float:
    start = time.perf_counter()
    model.encode(texts)
    return time.perf_counter() - start


def in_a_new_thread(model: FlagModel) -> float:
    """Time of a known query in a thread that never ran one: cuDNN plans anew in each."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(seconds, model, make_text(_SHORT, 0)).result()


def parity_texts() -> list[str]:
    """Empty, blank and odd texts, and every kind of length up to more than the model takes."""
    odd = ["", " ", "a", "é ß ø", "数据 検索", "🙂 emoji", "x" * 3000, "!?" * 40]
    return odd + [make_text(words, words) for words in (*range(1, 64, 3), *range(64, 700, 12))]


def make_text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(_WORDS, k=words))


def show_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    sys.exit(main())
