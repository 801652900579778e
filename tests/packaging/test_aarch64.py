"""The wheel for aarch64 under emulation: its numbers, many threads, the command. `make test-aarch64` builds it first.

The processor is qemu's, user mode alone; Python and its libraries are Debian's for that machine, the packages those that
an installer takes there.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SYSTEM = ROOT / "build" / "aarch64" / "system"
PACKAGES = ROOT / "build" / "aarch64" / "site-packages"
PYTHON = SYSTEM / "usr" / "bin" / "emulated-python"
# Programs of Debian's packages qemu-user and mmdebstrap.
PROGRAMS = ("qemu-aarch64", "mmdebstrap")
PROCESSOR = """processor\t: {}
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""
# Of the tests that run on every machine: a few cases of each checkpoint, since emulation takes a hundred times as long.
SHORT = "(length-16 or length-10) and not (bge or MiniLM)"
CASES = {
    **{f"models/test_{name}.py": SHORT for name in ("golden", "golden_m3", "golden_reranker", "golden_decoders")},
    "models/test_concurrency.py": "spawned or panic",
    "models/test_precision.py": "int8 and cls-tiny-bert",
}

# As tests/models/test_concurrency.py, with fewer calls.
THREADS = """
from concurrent.futures import ThreadPoolExecutor
from bge_fast import FlagModel
for precision in ("fp32", "int8"):
    model = FlagModel("tests/checkpoints/tiny-bert", precision=precision)
    calls = [["wing flow " * (1 + number % 7)] * (1 + number % 3) for number in range(64)]
    serial = [model.encode(texts) for texts in calls]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(model.encode, calls))
    print(max(abs(one - other).max() for one, other in zip(serial, together)) <= 1e-6)
"""


def run(*command: object) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**variables, "PYTHONPATH": f"{PACKAGES}:{HERE}", "PYTHONPYCACHEPREFIX": str(ROOT / "build" / "bytecode")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def wheel() -> Path:
    """The wheel, installed for the emulated Python."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not on this machine (apt-get install qemu-user mmdebstrap)")
    wheels = list((ROOT / "dist").glob("*_aarch64.whl"))
    if len(wheels) != 1:
        pytest.skip("no wheel for aarch64 in dist: run `make dist-aarch64`")
    make_system()
    shutil.rmtree(PACKAGES, ignore_errors=True)
    for_machine = ("--no-build", "--python-version", "3.11", "--python-platform", "aarch64-manylinux_2_28")
    uv = ROOT / ".venv" / "bin" / "uv"
    run(uv, "pip", "install", *for_machine, "--target", PACKAGES, wheels[0], "pytest", "pytest-timeout")
    return wheels[0]


def make_system() -> None:
    """Debian's Python 3.11 with the C library, and a command that starts it, so that it can start itself too."""
    if PYTHON.is_file():
        return
    shutil.rmtree(SYSTEM, ignore_errors=True)
    SYSTEM.parent.mkdir(parents=True, exist_ok=True)
    packages = "python3-minimal,libpython3-stdlib,libstdc++6,ca-certificates"
    options = ("--variant=extract", "--architectures=arm64", f"--include={packages}")
    run("mmdebstrap", *options, "bookworm", SYSTEM)
    # Without it the emulated program reads the host's, and ONNX Runtime crashes on a processor that is not its own.
    (SYSTEM / "proc").mkdir(exist_ok=True)
    (SYSTEM / "proc" / "cpuinfo").write_text("".join(PROCESSOR.format(number) for number in range(os.cpu_count() or 1)))
    # The name that it is told decides where it looks for its library and what `sys.executable` is.
    PYTHON.write_text(f'#!/bin/sh\nexec qemu-aarch64 -L {SYSTEM} -0 "$0" {SYSTEM}/usr/bin/python3.11 "$@"\n')
    PYTHON.chmod(0o755)


def test_it_is_that_machine_and_the_installed_package() -> None:
    code = "import platform, bge_fast._core as core; print(platform.machine(), core.__file__)"
    machine, file = run(PYTHON, "-c", code).split()
    assert machine == "aarch64"
    assert Path(file).is_relative_to(PACKAGES)
    run(PYTHON, "-c", "import check_installed as check; check.check_contents(); check.check_metadata()")


@pytest.mark.parametrize(("file", "cases"), CASES.items())
@pytest.mark.timeout(1800)
def test_numbers_and_threads_are_those_of_every_machine(file: str, cases: str) -> None:
    words = ("-m", "not exported and not slow", "-k", cases, "--timeout", "1200")
    told = run(PYTHON, "-m", "pytest", *words, f"tests/{file}")
    print(file, told.splitlines()[-1])


def test_32_threads_get_the_serial_numbers() -> None:
    assert run(PYTHON, "-c", THREADS).split() == ["True", "True"]


def test_the_platform_is_one_of_ours() -> None:
    # The doctor's own children would not answer in time under emulation.
    code = "from bge_fast.commands.doctor.installation import check_platform; print(check_platform())"
    told = run(PYTHON, "-c", code)
    assert "status='ok'" in told
    assert "linux aarch64, glibc" in told
