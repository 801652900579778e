"""Finds ONNX Runtime's library and loads it, once a process.

The wheel carries a CPU library of its own. Where ``onnxruntime-gpu`` is installed, its library serves CPU and CUDA.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bge_fast import _core
from bge_fast.errors import DeviceError, RuntimeNotFoundError
from bge_fast.runtime import cuda
from bge_fast.runtime.devices import CPU, Device
from bge_fast.runtime.locks import Lock
from bge_fast.runtime.platforms import unsupported

_BUNDLED = Path(__file__).parent.parent / "_ort" / "libonnxruntime_bge_fast.so"
_OLDEST = 24
_TESTED = "1.31.1"
_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
_INSTRUCTIONS = "BGE_FAST_INSTRUCTIONS"
_environment = Lock()


@dataclass(frozen=True)
class Library:
    """A file that can serve as ONNX Runtime."""

    path: Path
    origin: str
    """``bundled`` or ``onnxruntime-gpu``."""

    @property
    def cuda_provider(self) -> Path | None:
        """The CUDA provider's file beside the library, if there is one."""
        provider = self.path.with_name(cuda.PROVIDER)
        return provider if provider.is_file() else None


def find_libraries() -> list[Library]:
    """List the usable libraries, best first."""
    found = [Library(_BUNDLED, "bundled")] if _BUNDLED.is_file() else []
    # A CPU-only onnxruntime of the user's is left alone: ours is the version that was tested.
    if (installed := _installed_onnxruntime()) and installed.cuda_provider:
        found.insert(0, installed)
    return found


def _installed_onnxruntime() -> Library | None:
    spec = importlib.util.find_spec("onnxruntime")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in Path(folder, "capi").glob("libonnxruntime.so.1.*"):
            minor = path.name.removeprefix("libonnxruntime.so.1.").split(".")[0]
            if minor.isdecimal() and int(minor) >= _OLDEST:
                return Library(path.resolve(), "onnxruntime-gpu")
    return None


def load_runtime() -> _core.Runtime:
    """Return the loaded library; load the best one found if none is.

    Raises:
        RuntimeNotFoundError: there is none, or it cannot be loaded.
    """
    if loaded := _core.loaded_runtime():
        return loaded
    if problem := unsupported():
        raise RuntimeNotFoundError(str(problem))
    libraries = find_libraries()
    if not libraries:
        raise RuntimeNotFoundError(
            "no ONNX Runtime library: this installation of bge-fast does not carry one. "
            "Install it with: pip install --force-reinstall bge-fast   (in a checkout: pip install -e .)"
        )
    best = libraries[0]
    dependencies = cuda.dependencies(best.cuda_provider) if best.cuda_provider else []
    used_instructions()
    with _without_telemetry():
        return _core.load_runtime(str(best.path), [str(path) for path in dependencies])


def used_instructions() -> dict[str, str | None]:
    """Return which of the processor's instructions our own kernels use, by what they compute in.

    All that it has; where the variable ``BGE_FAST_INSTRUCTIONS`` is set, those up to the ones that it names, so that
    machines of different kinds give the same numbers.

    Raises:
        ValueError: the variable names none.
    """
    limit = os.environ.get(_INSTRUCTIONS) or None
    try:
        vectors, int8, bf16 = _core.instructions(limit)
    except ValueError as error:
        raise ValueError(f"{_INSTRUCTIONS}={limit}: {error}") from None
    return {"fp32": vectors, "bf16": bf16, "int8": int8, "int4": int8}


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Let ONNX Runtime start without its telemetry.

    Since 1.31 the published libraries for Linux upload usage data and keep a device id and a database in the user's
    cache folder. The one switch is this variable, read once when the library starts; the C API's comes too late. It is
    taken back at once, and left alone where the user has set it.
    """
    with _environment.held():
        if _NO_TELEMETRY in os.environ:
            yield
            return
        os.environ[_NO_TELEMETRY] = "1"
        try:
            yield
        finally:
            os.environ.pop(_NO_TELEMETRY, None)


def default_device() -> Device:
    """Return the first CUDA device where the GPU library is installed, whether usable or not; else the CPU."""
    best = next(iter(find_libraries()), None)
    return Device((0,)) if best and best.cuda_provider else CPU


def check_cuda(index: int) -> None:
    """See that CUDA device ``index`` can be used.

    Raises:
        DeviceError: the library has no CUDA provider, a library it needs is missing, no driver, or no such device.
    """
    where = f'devices="cuda:{index}"'
    runtime = load_runtime()
    provider = runtime.path.with_name(cuda.PROVIDER)
    if "CUDAExecutionProvider" not in runtime.providers and provider.is_file():
        # A build with CUDA as a plug-in, which would have to be registered first.
        raise DeviceError(
            f"{where}: the ONNX Runtime in use ({runtime.path}, {runtime.version}) does not know the CUDA provider "
            f'beside it. Install the version that was tested: pip install "onnxruntime-gpu[cuda,cudnn]=={_TESTED}"'
        )
    if not provider.is_file():
        bundled = "bundled" if runtime.path == _BUNDLED else str(runtime.path)
        raise DeviceError(
            f"{where}: the ONNX Runtime in use ({bundled}, {runtime.version}) has no CUDA provider. "
            'Install it with: pip install "bge-fast[gpu]". Details: bge-fast doctor'
        )
    if reason := cuda.problem(provider, index):
        raise DeviceError(f"{where}: {reason}. Details: bge-fast doctor")
