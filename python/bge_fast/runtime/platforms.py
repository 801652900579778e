"""Where bge-fast runs: where ONNX Runtime publishes its library and the whole is tested. The build backend asks too."""

import os
import platform
import re
import struct
import sys
from dataclasses import dataclass

MACHINES = ("x86_64", "aarch64")
"""Processors, by the kernel's names, which are cargo's and those of wheels too."""
SUPPORTED = "Linux on x86-64 or aarch64, 64-bit, with glibc 2.28 or newer"
_BITS = 64
_OLDEST_GLIBC = (2, 28)
_ELSEWHERE = {
    "darwin": "use a Linux container, on Apple's processors one for linux/arm64",
    "win32": "use WSL 2 or a Linux container",
}
_GLIBC_IMAGE = "use a system or image with glibc, such as python:3.13-slim"


@dataclass(frozen=True)
class Unsupported:
    """A platform that bge-fast does not run on."""

    found: str
    """What this platform is."""
    remedy: str
    """What to take instead."""

    def __str__(self) -> str:
        return f"bge-fast runs on {SUPPORTED}; this is {self.found}: {self.remedy}"


def describe() -> str:
    """This platform, such as ``linux aarch64``."""
    return f"{sys.platform} {platform.machine()}"


def unsupported() -> Unsupported | None:
    """Say what is wrong with this platform; ``None`` where nothing is."""
    if sys.platform != "linux":
        return Unsupported(describe(), _ELSEWHERE.get(sys.platform, "use Linux"))
    if platform.machine() not in MACHINES:
        return Unsupported(describe(), "use such a machine")
    if (bits := struct.calcsize("P") * 8) != _BITS:
        return Unsupported(f"a {bits}-bit Python on {describe()}", f"use a {_BITS}-bit Python")
    glibc = _glibc()
    if glibc is None:
        return Unsupported(f"{describe()} without glibc (musl, as in Alpine?)", _GLIBC_IMAGE)
    if glibc < _OLDEST_GLIBC:
        return Unsupported(f"{describe()} with glibc {glibc[0]}.{glibc[1]}", _GLIBC_IMAGE)
    return None


def _glibc() -> tuple[int, int] | None:
    # musl knows no such name.
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return None
    match = re.match(r"glibc (\d+)\.(\d+)", told)
    return (int(match[1]), int(match[2])) if match else None
