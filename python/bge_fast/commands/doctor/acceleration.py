"""ONNX Runtime's library, and what its CUDA provider needs."""

import os
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from bge_fast.commands.doctor.check import INSTALL_GPU, REINSTALL, Check, Status
from bge_fast.commands.doctor.probe import Facts
from bge_fast.runtime.devices import parse_devices
from bge_fast.runtime.library import Library

_CUDA_DOCS = "see https://docs.nvidia.com/cuda/cuda-toolkit-release-notes for the driver, then reboot"


def check_runtime(libraries: list[Library], loaded: Facts) -> Check:
    """Which library was found, which is used, and what it says about itself once loaded."""
    best = libraries[0]
    others = "".join(f"; not used: {other.path} ({other.origin})" for other in libraries[1:])
    providers = " ".join(name.removesuffix("ExecutionProvider") for name in loaded["providers"])
    fact = f"{best.origin} ONNX Runtime {loaded['version']} at {loaded['path']}, providers {providers}{others}"
    if best.origin == "bundled" and (installed := _gpu_package()):
        unused = f"{fact}; onnxruntime-gpu {installed} is installed but too old or not complete"
        return Check("runtime", "warn", unused, INSTALL_GPU)
    return Check("runtime", "ok", fact)


def no_runtime() -> Check:
    """There is no library at all."""
    return Check("runtime", "error", "no ONNX Runtime library: this installation does not carry one", REINSTALL)


def check_cuda_libraries(wanted: bool, facts: Facts | None) -> Check:
    """What the CUDA provider links to; ``facts`` is ``None`` without a CUDA provider."""
    if facts is None:
        status: Status = "error" if wanted else "skip"
        return Check(
            "cuda-libraries", status, "the library in use has no CUDA provider", INSTALL_GPU if wanted else None
        )
    if facts["missing"]:
        fact = f"missing: {', '.join(facts['missing'])}"
        return Check(
            "cuda-libraries", "error", fact, f"{INSTALL_GPU}   (or: pip install {' '.join(facts['packages'])})"
        )
    fact = f"found: {', '.join(facts['needed'])}"
    if not facts["cudnn"]:
        return Check("cuda-libraries", "warn", f"{fact}; no cuDNN 9: attention is slow", INSTALL_GPU)
    return Check("cuda-libraries", "ok", f"{fact}, cuDNN 9")


def check_driver(device: str | None, libraries: Facts | None, facts: Facts) -> Check:
    """The NVIDIA driver and its devices, against what was asked for and what the CUDA provider was built for."""
    asked = parse_devices(device)
    wanted = asked is not None and asked.is_cuda
    count, hidden = facts["devices"], os.environ.get("CUDA_VISIBLE_DEVICES")
    note = "" if hidden is None else f" (CUDA_VISIBLE_DEVICES={hidden!r})"
    unmet: Status = "error" if wanted else "warn" if libraries is not None else "skip"
    if count is None:
        remedy = None if unmet == "skip" else "install the NVIDIA driver, or in a container: docker run --gpus all …"
        return Check("driver", unmet, "no NVIDIA driver (libcuda.so.1 cannot be opened)", remedy)
    if count == 0:
        remedy = "unset CUDA_VISIBLE_DEVICES" if hidden is not None else "nvidia-smi   (says what keeps the driver)"
        return Check("driver", "warn" if unmet == "skip" else unmet, f"the driver shows no CUDA device{note}", remedy)
    driver_cuda = facts["cuda_version"] // 1000
    fact = f"driver for CUDA {driver_cuda}.{facts['cuda_version'] % 1000 // 10}, {count} device(s){note}: {_devices()}"
    if libraries is None:
        return Check("driver", "warn", f"{fact}; not used, for want of a CUDA provider", INSTALL_GPU)
    if (built_for := _cuda_major(libraries)) > driver_cuda:
        return Check("driver", "error", f"{fact}; the CUDA provider is built for CUDA {built_for}", _CUDA_DOCS)
    if asked is not None and (beyond := max(asked.cuda, default=0)) >= count:
        return Check("driver", "error", f"{fact}; there is no cuda:{beyond}", f"--device cuda:{count - 1}")
    return Check("driver", "ok", fact)


def _cuda_major(libraries: Facts) -> int:
    majors = [re.fullmatch(r"libcu(?:blas|dart)\w*\.so\.(\d+)", name) for name in libraries["needed"]]
    return max((int(match[1]) for match in majors if match), default=0)


def _devices() -> str:
    """Name, driver and free memory of each GPU, where ``nvidia-smi`` is at hand."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return "no nvidia-smi to name them"
    query = [command, "--query-gpu=name,driver_version,memory.free", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi failed ({error})"
    return "; ".join(listed.split("\n")).strip("; ")


def _gpu_package() -> str | None:
    try:
        return version("onnxruntime-gpu")
    except PackageNotFoundError:
        return None
