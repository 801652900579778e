"""CPU and memory, as far as this process may use them."""

import os
import re
from pathlib import Path

from bge_fast.commands.doctor.check import Check
from bge_fast.runtime.threads import VARIABLE

_INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_CGROUPS = Path("/sys/fs/cgroup")
_LITTLE_MEMORY = 1 << 30


def check_cpu(threads: int | None) -> Check:
    """Instruction sets, and threads through affinity mask and cgroup quota; ``threads`` is what the core will use."""
    text = _read(Path("/proc/cpuinfo"))
    flags = _cpuinfo(text, "flags").split()
    found = [name for name in _INSTRUCTION_SETS if name in flags]
    allowed, quota = len(os.sched_getaffinity(0)), cpu_quota()
    fact = (
        f"{_cpuinfo(text, 'model name') or 'unknown processor'}; {' '.join(found) or 'no AVX2'}; "
        f"{os.cpu_count()} cores, {allowed} by affinity, {'no quota' if quota is None else f'quota {quota:g}'}; "
        f"{'unknown' if threads is None else threads} threads used"
        f"{f' (OMP_NUM_THREADS={os.environ[VARIABLE]:.20})' if VARIABLE in os.environ else ''}"
    )
    if flags and "avx2" not in flags:
        return Check("cpu", "warn", f"{fact}: without AVX2 everything is slow", "run on an x86-64 machine with AVX2")
    if quota is not None and threads and threads > quota:
        return Check("cpu", "warn", f"{fact}: the quota stops them now and then", "docker run --cpus 1 … (or more)")
    return Check("cpu", "ok", fact)


def check_memory() -> Check:
    """Memory of the machine and limit of the cgroup."""
    sizes = {name: int(kilobytes) << 10 for name, kilobytes in re.findall(r"(\w+):\s+(\d+) kB", _read(_MEMINFO))}
    if "MemAvailable" not in sizes:
        return Check("memory", "skip", f"{_MEMINFO} cannot be read")
    total, free, limit = sizes["MemTotal"], sizes["MemAvailable"], memory_limit()
    fact = f"{_gibibytes(free)} of {_gibibytes(total)} free" + (f", limit {_gibibytes(limit)}" if limit else "")
    if min(free, limit or free) < _LITTLE_MEMORY:
        remedy = "end other programs, or give the container more memory: docker run --memory 4g …"
        return Check("memory", "warn", f"{fact}: a large model will not fit", remedy)
    return Check("memory", "ok", fact)


_MEMINFO = Path("/proc/meminfo")


def cpu_quota() -> float | None:
    """Cores that the cgroup grants, the smallest on the way up; ``None`` without a limit."""
    quotas = []
    for folder in _cgroup_folders("cpu"):
        quota, period = (*_read(folder / "cpu.max").split(), "", "")[:2]
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal():
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Bytes that the cgroup grants; ``None`` without a limit."""
    names = ("memory.max", "memory.limit_in_bytes")
    found = [_read(folder / name).strip() for folder in _cgroup_folders("memory") for name in names]
    # Version 1 writes a number near 2⁶³ where there is no limit.
    return min((int(limit) for limit in found if limit.isdecimal() and int(limit) < 1 << 60), default=None)


def _cgroup_folders(controller: str) -> list[Path]:
    """Folders of this process's cgroup and of those above it: one hierarchy, or the controller's own in version 1."""
    folders = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller if controllers else _CGROUPS
        below = [part for part in path.split("/") if part not in ("", "..")]
        folders += [root.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
    return folders


def _cpuinfo(text: str, key: str) -> str:
    match = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1] if match else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
