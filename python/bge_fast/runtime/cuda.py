"""What ONNX Runtime's CUDA provider needs on this machine, and what of it is missing."""

import ctypes
import re
import struct
import sysconfig
from pathlib import Path

PROVIDER = "libonnxruntime_providers_cuda.so"
# Opened by the provider on demand; without cuDNN attention gets slow, so it is loaded where it is installed.
_OPTIONAL = ("libcudnn.so.9",)
# A library must be open before the ones that need it.
_ORDER = ("libcudart", "libcublasLt", "libcublas", "libnvrtc", "libcurand", "libcufft", "libcudnn")


def needed_libraries(provider: Path) -> list[str]:
    """Names of the CUDA libraries that the provider's file links to, such as ``libcublasLt.so.13``."""
    names = [name for name in _linked_names(provider) if name.startswith(_ORDER)]
    return sorted(names, key=lambda name: _ORDER.index(name.split(".")[0]))


def dependencies(provider: Path) -> list[Path]:
    """Files of the needed and optional libraries that pip packages brought, in the order to load them."""
    installed = installed_libraries()
    return [installed[name] for name in [*needed_libraries(provider), *_OPTIONAL] if name in installed]


def installed_libraries() -> dict[str, Path]:
    """CUDA libraries of the ``nvidia-*`` packages in this environment, by file name."""
    root = Path(sysconfig.get_path("purelib"), "nvidia")
    return {path.name: path for path in sorted(root.glob("**/lib/lib*.so.*"))}


def missing_libraries(provider: Path) -> list[str]:
    """Needed libraries that neither a pip package nor the system's loader has."""
    installed = installed_libraries()
    return [name for name in needed_libraries(provider) if name not in installed and not _can_open(name)]


def has_cudnn() -> bool:
    """Whether cuDNN 9 is at hand."""
    return any(name in installed_libraries() or _can_open(name) for name in _OPTIONAL)


def pip_package(library: str) -> str:
    """The pip package that brings a CUDA library."""
    stem, _, major = library.partition(".so.")
    name = {"libcudart": "runtime", "libcublasLt": "cublas"}.get(stem, stem.removeprefix("lib"))
    if name == "cudnn":
        return "nvidia-cudnn-cu13"
    # Its numbers are one behind.
    of_cuda_12 = major == ("11" if name == "cufft" else "12")
    return f"nvidia-{'cuda-' if name in ('runtime', 'nvrtc') else ''}{name}" + ("-cu12" if of_cuda_12 else "")


def device_count() -> int | None:
    """Number of CUDA devices the driver shows, or ``None`` without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def problem(provider: Path, index: int) -> str | None:
    """Why CUDA device ``index`` cannot be used, or ``None``."""
    if missing := missing_libraries(provider):
        packages = " ".join(sorted({pip_package(name) for name in missing}))
        return (
            f"the CUDA provider needs libraries that are not installed: {', '.join(missing)}. "
            f'Install with: pip install "bge-fast[gpu]"   (or: pip install {packages})'
        )
    count = device_count()
    if count is None:
        return "there is no NVIDIA driver (libcuda.so.1 cannot be opened)"
    if count == 0:
        return "the NVIDIA driver shows no CUDA device; see nvidia-smi and CUDA_VISIBLE_DEVICES"
    if index >= count:
        return f"there is no CUDA device {index}; the driver shows {count}, counted from 0"
    return None


def _can_open(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _linked_names(path: Path) -> list[str]:
    """Names in the file's dynamic string table that look like libraries; ELF, 64 bit, little endian."""
    with path.open("rb") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            return []
        offset, size, count = (*struct.unpack_from("<Q", header, 40), *struct.unpack_from("<HH", header, 58))
        file.seek(offset)
        table = file.read(size * count)
        for section in range(count):
            kind, link_flags = struct.unpack_from("<IQ", table, section * size + 4)
            # The dynamic string table is the string table that is loaded into memory.
            if kind == _STRING_TABLE and link_flags & _ALLOCATED:
                start, length = struct.unpack_from("<QQ", table, section * size + 24)
                file.seek(start)
                return re.findall(r"lib\w+\.so\.\d+", file.read(length).decode("ascii", "replace"))
    return []


_STRING_TABLE = 3
_ALLOCATED = 2
