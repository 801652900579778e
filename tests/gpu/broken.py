"""Installations that do not work, each in a process of its own: all must end with the error that names their fault."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from models import CHECKPOINTS
from results import Results, parse

from bge_fast.runtime import cuda
from bge_fast.runtime.library import find_libraries

_OPEN = "import sys; from bge_fast import FlagModel; FlagModel(sys.argv[1], devices={devices}).encode('one')"
_CPU_FP16 = "import sys; from bge_fast import FlagModel; FlagModel(sys.argv[1], devices='cpu', precision='fp16')"
_CORE_FILES = "libonnxruntime.so.1.*", "libonnxruntime_providers_shared.so"


@dataclass(frozen=True)
class Case:
    """A program, the change to its environment, and the error it must end with; no error where `expected` is empty."""

    situation: str
    program: str
    expected: str = ""
    says: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def cases(device: str, folder: Path) -> list[Case]:
    """What can be provoked on this machine."""
    on_device = _OPEN.format(devices=repr(device))
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    found = [
        Case("fp16 on the CPU", _CPU_FP16, "ValueError", 'precision="fp16" is for CUDA'),
        Case("only the CPU library", on_device, "DeviceError", "has no CUDA provider", without_onnxruntime(folder)),
    ]
    if device == "cpu":
        return found[:1]
    return [
        *found,
        Case("no visible device", on_device, "DeviceError", "shows no CUDA device", hidden),
        Case("device out of range", _OPEN.format(devices="'cuda:99'"), "DeviceError", "no CUDA device 99"),
        Case(
            "no visible device, none asked for",
            "import warnings; warnings.simplefilter('error'); " + _OPEN.format(devices=None),
            "RuntimeWarning",
            "so the CPU is",
            hidden,
        ),
        Case(
            "CUDA libraries not found",
            "from bge_fast.runtime import cuda; cuda.installed_libraries = dict; " + on_device,
            "DeviceError",
            "the CUDA provider needs",
            without_cuda_libraries(folder),
        ),
        Case("damaged CUDA provider", on_device, "DeviceError", "cannot be used", with_damaged_provider(folder)),
        Case("onnxruntime imported before", "import onnxruntime; " + on_device),
        Case("torch imported before", "import torch; " + on_device),
        Case("torch in use before", "import torch; torch.ones(9, device='cuda').sum().item(); " + on_device),
        Case("torch in use after", on_device + "; import torch; torch.ones(9, device='cuda').sum().item()"),
    ]


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "broken")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(options.device, Path(folder)):
            ended, ok = run(case, CHECKPOINTS / "tiny-bert")
            results.add(ok, situation=case.situation, ended=ended)
    results.end()


def run(case: Case, model: Path) -> tuple[str, bool]:
    """The last line of a case's errors, and whether that is as it should be."""
    command = [sys.executable, "-c", case.program, str(model)]
    environment = {**os.environ, **case.environment}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    last = (process.stderr.strip().splitlines() or [""])[-1]
    if process.returncode == 0:
        return "worked", not case.expected
    if "ModuleNotFoundError" in last:
        return f"not tried: {last}", True
    named = bool(case.expected) and f"{case.expected}:" in last and case.says in last
    # A death by signal is never the named error.
    return last or f"status {process.returncode}", named and process.returncode == 1


def without_onnxruntime(folder: Path) -> dict[str, str]:
    """An environment in which the package `onnxruntime` is empty."""
    return _shadowing(folder / "empty")


def without_cuda_libraries(folder: Path) -> dict[str, str]:
    """An environment in which the loader finds, under the names of the CUDA libraries, files that are none."""
    damaged = folder / "damaged_libraries"
    damaged.mkdir()
    for library in find_libraries():
        for name in cuda.needed_libraries(library.cuda_provider) if library.cuda_provider else ():
            (damaged / name).write_bytes(b"damaged")
    return {"LD_LIBRARY_PATH": str(damaged)}


def with_damaged_provider(folder: Path) -> dict[str, str]:
    """An environment in which the CUDA provider's file is not a library."""
    installed = [library for library in find_libraries() if library.cuda_provider]
    environment = _shadowing(folder / "damaged")
    capi = folder / "damaged" / "onnxruntime" / "capi"
    capi.mkdir()
    for library in installed[:1]:
        for pattern in _CORE_FILES:
            for file in library.path.parent.glob(pattern):
                shutil.copy(file, capi)
        (capi / "libonnxruntime_providers_cuda.so").write_bytes(b"damaged")
    return environment


def _shadowing(folder: Path) -> dict[str, str]:
    (folder / "onnxruntime").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").touch()
    path = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{path}" if path else str(folder)}


if __name__ == "__main__":
    main()
