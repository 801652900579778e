"""What of the machine this process may use: memory and cores, by the machine and by the cgroup."""

import re
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
MEMORY_FACTS = Path("/proc/meminfo")


def memory_sizes() -> dict[str, int]:
    """What the system says of its memory, in bytes; empty where it says nothing."""
    facts = re.findall(r"(\w+):\s+(\d+) kB", read_text(MEMORY_FACTS))
    return {name: int(kilobytes) << 10 for name, kilobytes in facts}


def available_memory() -> int | None:
    """Bytes that this process may still take, as far as the system says."""
    free = [memory_sizes().get("MemAvailable"), _left_by_cgroup()]
    return min((size for size in free if size is not None), default=None)


def cpu_quota() -> float | None:
    """Cores that the cgroup grants, the smallest on the way up; ``None`` without a limit."""
    quotas = []
    for folder in _cgroup_folders("cpu"):
        quota, period = (*read_text(folder / "cpu.max").split(), "", "")[:2]
        if not quota:
            quota = read_text(folder / "cpu.cfs_quota_us").strip()
            period = read_text(folder / "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal():
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Bytes that the cgroup grants; ``None`` without a limit."""
    return min((limit for limit, _ in _memory_limits()), default=None)


def _left_by_cgroup() -> int | None:
    left = [limit - _number(folder / name) for limit, folder in _memory_limits() for name in _USED]
    return max(0, min(left)) if left else None


_USED = ("memory.current", "memory.usage_in_bytes")


def _memory_limits() -> list[tuple[int, Path]]:
    names = ("memory.max", "memory.limit_in_bytes")
    found = [(_number(folder / name), folder) for folder in _cgroup_folders("memory") for name in names]
    # Version 1 writes a number near 2⁶³ where there is no limit.
    return [(limit, folder) for limit, folder in found if 0 < limit < 1 << 60]


def _number(path: Path) -> int:
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else 0


def _cgroup_folders(controller: str) -> list[Path]:
    """Folders of this process's cgroup and of those above it: one hierarchy, or the controller's own in version 1."""
    folders = []
    for line in read_text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller if controllers else _CGROUPS
        below = [part for part in path.split("/") if part not in ("", "..")]
        folders += [root.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
    return folders


def read_text(path: Path) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def gibibytes(size: int) -> str:
    """A size as people read it."""
    return f"{size / 2**30:.1f} GiB"
