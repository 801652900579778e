"""Runs every part for itself, so that one that fails or hangs leaves the others readable; see run.sh."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from results import NO_GPU, parse

_HERE = Path(__file__).resolve().parent
# Parts in the order of what is wanted first, each with the seconds that it may take.
PARTS = {
    "first_light": 60,
    "parity": 120,
    "decoders": 120,
    "queries": 60,
    "speed": 90,
    "kernels": 60,
    "peers": 90,
    "memory": 60,
    "broken": 90,
}
_SIZES = ("small", "base", "large")


def main() -> int:
    options = parse(__doc__)
    parts = options.only.split(",") if options.only else list(PARTS)
    told = ["--device", options.device, "--models", str(options.models), "--out", str(options.out)]
    sizes = ("tiny",) if options.dry else _SIZES
    # Made while the first part runs.
    makers = [start([str(_HERE / "models.py"), str(options.models), size]) for size in sizes]
    failed = []
    for part in parts:
        if part != "first_light":
            finish(makers)
        begun = time.monotonic()
        print(f"\n## {part}", flush=True)
        status = run([str(_HERE / f"{part}.py"), *told], PARTS[part])
        print(f"\n{part}: status {status}, {time.monotonic() - begun:.0f} s", flush=True)
        if status == NO_GPU and part == "first_light":
            print("\nno GPU: nothing measured")
            return NO_GPU
        failed += [part] if status else []
    finish(makers)
    if options.dry:
        print("\nno GPU: nothing measured")
        return NO_GPU
    print("\n**Not as it should be: " + ", ".join(failed) + "**" if failed else "\nAll as it should be.")
    return 1 if failed else 0


def finish(makers: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all checkpoints are made."""
    for maker in makers:
        maker.wait()


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """A program beside this one."""
    return subprocess.Popen([sys.executable, *command])


def run(command: list[str], seconds: float) -> int:
    """Its status; 124 where it took too long."""
    process = start(command)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 124


if __name__ == "__main__":
    sys.exit(main())
