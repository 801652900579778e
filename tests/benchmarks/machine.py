"""What a measurement ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")


def describe() -> dict[str, str]:
    """Processor, its vector instructions, memory, system, and how busy the machine is now."""
    info = Path("/proc/cpuinfo").read_text()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in info.splitlines())}
    has = set(fields.get("flags", "").split())
    family = f"family {fields.get('cpu family')}, model {fields.get('model')}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{fields.get('model name', platform.machine())} ({family})",
        "instructions": ", ".join(f"{flag} {'yes' if flag in has else 'no'}" for flag in _FLAGS),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', 'Linux')}, {platform.machine()}",
        "load average at the start": load_average(),
    }


def load_average() -> str:
    """The load average over 1, 5 and 15 minutes."""
    return " ".join(f"{load:.1f}" for load in os.getloadavg())
