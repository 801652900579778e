"""How much memory this process has, and whose."""

from collections.abc import Iterable
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")


def private_megabytes() -> float:
    """Resident memory that no file backs."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("RssAnon:"))


def mapped_megabytes(files: Iterable[str]) -> float:
    """Resident memory that these files back: the system takes it back where it needs it, and processes share it."""
    wanted, kilobytes, counts = {str(Path(file).resolve()) for file in files}, 0, False
    with _SMAPS.open() as mappings:
        for line in mappings:
            first, _, rest = line.partition(" ")
            if not first.endswith(":"):
                counts = rest.split(maxsplit=4)[-1].rstrip("\n") in wanted
            elif counts and first == "Rss:":
                kilobytes += int(rest.split()[0])
    return kilobytes * 1024 / 1e6
