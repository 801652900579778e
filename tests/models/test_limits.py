"""Memory and threads that the system does not give: an error or fewer threads, never a hang or the end of the process."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from tests.support.checkpoints import checkpoint

# A process or a server for each: together far more than five seconds.
pytestmark = pytest.mark.slow


def run(program: str, *arguments: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own under limits, such as ``RLIMIT_AS``, that begin before it."""

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    command = [sys.executable, "-c", program, str(checkpoint("tiny-bert")), *arguments]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limit, check=False, timeout=60, env=environment
    )


@pytest.mark.parametrize("threads", [40, 100, 300])
def test_threads_that_do_not_fit_into_the_address_space(threads):
    program = f"""
import sys
from bge_fast import FlagModel, DeviceError
try:
    FlagModel(sys.argv[1], threads={threads})
except (DeviceError, MemoryError) as error:
    print(type(error).__name__, error)
"""
    done = run(program, RLIMIT_AS=900 << 20)
    assert done.returncode == 0, done.stderr
    assert not done.stdout or "threads=" in done.stdout or "memory" in done.stdout


def test_results_that_no_memory_holds():
    program = """
import sys
from bge_fast import FlagModel
model = FlagModel(sys.argv[1])
before = model.encode("text").tobytes()
try:
    model.encode([""] * 12_000_000)
except MemoryError as error:
    print("MemoryError", error)
assert model.encode("text").tobytes() == before
"""
    done = run(program, RLIMIT_AS=2 << 30)
    assert (done.returncode, done.stdout[:11]) == (0, "MemoryError"), done.stderr


def test_multi_vectors_that_no_memory_holds():
    program = """
import sys
from bge_fast import BGEM3FlagModel
model = BGEM3FlagModel(sys.argv[2])
try:
    model.encode_vectors(["some short text of a few words"] * 40_000, dense=False, colbert=True)
except MemoryError as error:
    print("MemoryError", error)
"""
    done = run(program, str(checkpoint("tiny-m3")), RLIMIT_AS=700 << 20)
    assert done.returncode == 0, done.stderr


def test_without_a_thread_to_spare_the_caller_does_the_work():
    """As root no limit of processes holds, so the refusal is made by taking all address space that a stack needs."""
    program = """
import resource, sys
import numpy as np
from bge_fast import FlagModel
model = FlagModel(sys.argv[1], threads=2)
texts = [f"text number {number} of some words" for number in range(3000)]
before = model.encode(texts)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), used + (1 << 20)))
after = model.encode(texts[:640])
print(float(np.abs(after - before[:640]).max()))
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-6


def test_a_panic_prints_nothing():
    program = "import sys\nfrom bge_fast import _core\ntry:\n    _core.panic_on_purpose()\nexcept Exception as error:\n    print(error)"
    done = run(program)
    assert "on purpose" in done.stdout
    assert done.stderr == ""


def test_daemon_threads_that_encode_while_the_program_ends():
    program = """
import sys, threading, time
from bge_fast import FlagModel
model = FlagModel(sys.argv[1])
def work():
    while True:
        model.encode([f"some text {number}" for number in range(200)])
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(5):
        done = run(program)
        assert (done.returncode, done.stderr) == (0, "")


def test_startable_threads_are_those_asked_for():
    from bge_fast import _core

    assert _core.startable_threads(3) == 3
    assert np.isclose(_core.startable_threads(0), 0)
