"""The command as a user meets it: a process, its two streams and its status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bge_fast_export import __version__
from tests.export.running import MODELS

SCRIPT = Path(sys.executable).with_name("bge-fast-export")


@pytest.mark.parametrize("program", [[str(SCRIPT)], [sys.executable, "-m", "bge_fast_export"]])
def test_version(program: list[str]) -> None:
    run = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"bge-fast-export {__version__}\n")


def test_progress_is_the_only_thing_shown(place: Path) -> None:
    target = place / "out"
    command = [SCRIPT, MODELS / "tiny-xlmr", "-o", target]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert run.stdout == f"{target}\n"
    lines = run.stderr.splitlines()
    assert all(line.startswith("bge-fast-export: ") for line in lines), run.stderr
    stages = (
        "Reading",
        "Loading the weights",
        "Exporting the fp32 graph",
        "Verifying onnx/model.onnx",
        "Fusing and converting the fp16 graph",
        "Verifying onnx/model_fp16.onnx",
        "Writing the manifest",
        "Done",
    )
    found = [next(i for i, line in enumerate(lines) if f": {stage}" in line) for stage in stages]
    assert found == sorted(found)
    assert "max difference" in run.stderr
    assert "min cosine" in run.stderr


def test_bad_input_is_told_before_torch_is_loaded(place: Path) -> None:
    program = (
        "import sys; from bge_fast_export.__main__ import main; "
        f"status = main(['./nowhere/at/all', '-o', {str(place / 'out')!r}]); "
        "sys.exit(10 * status + ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 10
