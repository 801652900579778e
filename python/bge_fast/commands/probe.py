"""Questions that only native code answers, asked in a process of their own: a crash there is an answer too.

``python -m bge_fast.commands.probe QUESTION [WORD…]`` writes one JSON object to stdout.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


class ProbeError(RuntimeError):
    """The process has no answer; says whether it failed, crashed or took too long."""


def ask(question: str, *words: str, seconds: float = 10) -> Facts:
    """Ask in a process of its own.

    Raises:
        ProbeError: see there.
    """
    command = [sys.executable, "-P", "-m", __name__, question, *words]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"no answer within {seconds:.0f} s") from error
    answer = _last_json(ended.stdout)
    if "error" in answer:
        raise ProbeError(answer["error"])
    if ended.returncode or not answer:
        raise ProbeError(_how_it_ended(ended.returncode, ended.stderr))
    return answer


def _last_json(text: str) -> Facts:
    # Native libraries may write to stdout as well; the answer is the last line.
    try:
        value = json.loads(text.strip().rpartition("\n")[2])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _how_it_ended(status: int, stderr: str) -> str:
    last = stderr.strip().rpartition("\n")[2]
    how = f"crashed with {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"the process {how}" + (f": {last}" if last else "")


def _runtime() -> Facts:
    from bge_fast.runtime import load_runtime

    runtime = load_runtime()
    return {"path": str(runtime.path), "version": runtime.version, "providers": runtime.providers}


def _threads() -> Facts:
    from bge_fast import _core

    return {"threads": _core.available_threads()}


def _cuda_libraries(provider: str) -> Facts:
    from bge_fast import cuda

    path = Path(provider)
    missing = cuda.missing_libraries(path)
    return {
        "needed": cuda.needed_libraries(path),
        "missing": missing,
        "packages": sorted({cuda.pip_package(name) for name in missing}),
        "cudnn": cuda.has_cudnn(),
    }


def _driver() -> Facts:
    import ctypes

    from bge_fast import cuda

    count = cuda.device_count()
    version = ctypes.c_int(0)
    if count is not None:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    return {"devices": count, "cuda_version": version.value}


def _run(device: str, model: str = "") -> Facts:
    from bge_fast.commands.opening import defaults, locate
    from bge_fast.commands.tiny_model import IDS, TEXT, write_tiny_model
    from bge_fast.embedder import FlagModel

    with tempfile.TemporaryDirectory(prefix="bge-fast-") as scratch:
        folder = model or str(write_tiny_model(Path(scratch, "tiny")))
        pooling = defaults(locate(folder, device, download=False)).pooling if model else "mean"
        started = time.perf_counter()
        with FlagModel(folder, devices=device, pooling_method=pooling) as opened:
            ready = time.perf_counter()
            vector = opened.encode(TEXT).tolist()
            ended = time.perf_counter()
            facts = opened.info()
    expected = [0.5 if index in IDS else 0.0 for index in range(len(vector))]
    return {
        "execution_provider": facts["execution_provider"],
        "precision": facts["precision"],
        "threads": facts["threads"],
        "dimension": len(vector),
        "open_ms": 1000 * (ready - started),
        "run_ms": 1000 * (ended - ready),
        "right": bool(model) or max(abs(a - b) for a, b in zip(vector, expected, strict=True)) < _TOLERANCE,
    }


_TOLERANCE = 1e-5
_QUESTIONS: dict[str, Callable[..., Facts]] = {
    "runtime": _runtime,
    "threads": _threads,
    "cuda-libraries": _cuda_libraries,
    "driver": _driver,
    "run": _run,
}


def _answer(question: str, *words: str) -> Facts:
    try:
        return _QUESTIONS[question](*words)
    except Exception as error:
        return {"error": str(error) or type(error).__name__}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(_answer(*sys.argv[1:])) + "\n")
