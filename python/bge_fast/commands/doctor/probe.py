"""Questions that only native code answers, asked in a process of their own: a crash there is an answer too.

``python -m bge_fast.commands.doctor.probe QUESTION [WORD…]`` writes one JSON object to stdout.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
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
    from bge_fast.runtime.library import load_runtime

    runtime = load_runtime()
    return {"path": str(runtime.path), "version": runtime.version, "providers": runtime.providers}


def _threads() -> Facts:
    from bge_fast.runtime.threads import default_threads

    return {"threads": default_threads()}


def _cuda_libraries(provider: str) -> Facts:
    from bge_fast.runtime import cuda

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

    from bge_fast.runtime import cuda

    count = cuda.device_count()
    version = ctypes.c_int(0)
    if count is not None:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    return {"devices": count, "cuda_version": version.value}


def _run(device: str, model: str = "") -> Facts:
    from bge_fast.commands.doctor.tiny_model import IDS, write_tiny_model
    from bge_fast.models.dense import FlagModel

    if model:
        return _run_model(device, model)
    with tempfile.TemporaryDirectory(prefix="bge-fast-") as scratch:
        folder = str(write_tiny_model(Path(scratch, "tiny")))
        facts, vector = _timed_run(partial(FlagModel, folder, devices=device, pooling_method="mean"), FlagModel.encode)
    expected = [0.5 if index in IDS else 0.0 for index in range(len(vector))]
    facts["right"] = bool(max(abs(a - b) for a, b in zip(vector, expected, strict=True)) < _TOLERANCE)
    return facts


def _run_model(device: str, model: str) -> Facts:
    from bge_fast.commands.defaults import defaults, locate
    from bge_fast.models.cross_encoder import FlagReranker
    from bge_fast.models.dense import FlagModel

    files = locate(model, device, download=False)
    if files.kind == "reranker":
        opened = partial(FlagReranker, model, devices=device)
        return _timed_run(opened, lambda reranker, text: reranker.rank(text, [text]))[0]
    pooling = defaults(files).pooling
    return _timed_run(partial(FlagModel, model, devices=device, pooling_method=pooling), FlagModel.encode)[0]


def _timed_run(open_model: Callable[[], Any], run: Callable[[Any, str], Any]) -> tuple[Facts, Any]:
    from bge_fast.commands.doctor.tiny_model import TEXT

    started = time.perf_counter()
    with open_model() as opened:
        ready = time.perf_counter()
        result = list(run(opened, TEXT))
        ended = time.perf_counter()
        info = opened.info()
    facts = {name: info[name] for name in ("execution_provider", "precision", "threads", "dimension")}
    return {**facts, "open_ms": 1000 * (ready - started), "run_ms": 1000 * (ended - ready), "right": True}, result


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
