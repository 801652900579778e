"""CPU and memory, as far as this process may use them."""

import os
import platform
import re
import tempfile
from pathlib import Path

from bge_fast.commands.doctor.check import Check
from bge_fast.runtime.limits import MEMORY_FACTS, cpu_quota, gibibytes, memory_limit, memory_sizes, read_text
from bge_fast.runtime.threads import VARIABLE

# As Linux calls them: of x86-64, and of aarch64, where asimd is NEON and always there.
_X86 = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_ARM = ("asimd", "asimddp", "i8mm", "bf16", "sve")
_LITTLE_MEMORY = 1 << 30
TEMPORARY_FOLDER = "export TMPDIR=FOLDER   (or docker run --tmpfs /tmp …)"


def check_cpu(threads: int | None) -> Check:
    """Instruction sets, and threads through affinity mask and cgroup quota; ``threads`` is what the core will use."""
    text = read_text(Path("/proc/cpuinfo"))
    flags, features = _cpuinfo(text, "flags").split(), _cpuinfo(text, "Features").split()
    found = [name for name in _X86 if name in flags] + [name for name in _ARM if name in features]
    allowed, quota = len(os.sched_getaffinity(0)), cpu_quota()
    fact = (
        f"{_cpuinfo(text, 'model name') or platform.machine()}; {' '.join(found) or 'no AVX2'}; "
        f"{os.cpu_count()} cores, {allowed} by affinity, {'no quota' if quota is None else f'quota {quota:g}'}; "
        f"{'unknown' if threads is None else threads} threads used"
        f"{f' (OMP_NUM_THREADS={os.environ[VARIABLE]:.20})' if VARIABLE in os.environ else ''}"
    )
    if flags and "avx2" not in flags:
        return Check("cpu", "warn", f"{fact}: without AVX2 everything is slow", "run on an x86-64 machine with AVX2")
    if quota is not None and threads and threads > quota:
        return Check("cpu", "warn", f"{fact}: the quota stops them now and then", "docker run --cpus 1 … (or more)")
    return Check("cpu", "ok", fact)


def has_temporary_folder() -> bool:
    """Whether temporary files can be written anywhere."""
    try:
        return bool(tempfile.gettempdir())
    except FileNotFoundError:
        return False


def check_memory() -> Check:
    """Memory of the machine and limit of the cgroup."""
    sizes = memory_sizes()
    if "MemAvailable" not in sizes:
        return Check("memory", "skip", f"{MEMORY_FACTS} cannot be read")
    total, free, limit = sizes["MemTotal"], sizes["MemAvailable"], memory_limit()
    fact = f"{gibibytes(free)} of {gibibytes(total)} free" + (f", limit {gibibytes(limit)}" if limit else "")
    if min(free, limit or free) < _LITTLE_MEMORY:
        remedy = "end other programs, or give the container more memory: docker run --memory 4g …"
        return Check("memory", "warn", f"{fact}: a large model will not fit", remedy)
    return Check("memory", "ok", fact)


def _cpuinfo(text: str, key: str) -> str:
    match = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1] if match else ""
