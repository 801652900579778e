"""The wheel in `dist`, in an environment of its own for each version of Python that is on this machine."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


# Of pyenv's versions, the commands on the path start one alone.
PYENV = sorted(str(folder) for folder in (Path.home() / ".pyenv" / "versions").glob("*/bin"))


def uv(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(part) for part in (ROOT / ".venv" / "bin" / "uv", *arguments)]
    variables = {**os.environ, "PATH": os.pathsep.join([*PYENV, os.environ["PATH"]])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_works_where_nothing_else_is(version: str, tmp_path: Path) -> None:
    wheels = list((ROOT / "dist").glob(f"*_{os.uname().machine}.whl"))
    assert len(wheels) == 1, "run `make dist`"
    found = uv("python", "find", "--no-python-downloads", "--system", version)
    if found.returncode:
        pytest.skip(f"Python {version} is not on this machine")
    made = uv("venv", "--python", found.stdout.strip(), tmp_path / "environment")
    assert made.returncode == 0, made.stderr
    python = tmp_path / "environment" / "bin" / "python"
    installed = uv("pip", "install", "--python", python, *wheels)
    assert installed.returncode == 0, installed.stderr
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [python, "-I", HERE / "check_installed.py"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert checked.returncode == 0, checked.stderr
