"""``python -m bge_fast.as_flagembedding``: a program that imports FlagEmbedding runs as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from FlagEmbedding import FlagModel
import beside
if __name__ == "__main__":
    print(FlagModel.__module__, beside.VALUE, sys.argv[0].endswith("program.py"), *sys.argv[1:])
    sys.exit(3)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a program and a module that it imports."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "beside.py").write_text("VALUE = 7")
    return folder


def run(*words: str, at: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bge_fast.as_flagembedding", *words]
    return subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)


def test_a_program_gets_its_arguments_its_folder_and_its_status(place):
    ended = run("programs/program.py", "-m", "--flag", at=place.parent)
    assert (ended.stdout, ended.returncode) == ("bge_fast.models.dense 7 True -m --flag\n", 3), ended.stderr


def test_a_module_is_run_too(place):
    ended = run("-m", "program", "--flag", at=place)
    assert (ended.stdout, ended.returncode) == ("bge_fast.models.dense 7 True --flag\n", 3), ended.stderr


def test_a_program_that_is_not_there(tmp_path):
    ended = run("nothing.py", at=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, "there is no program 'nothing.py'\n")


@pytest.mark.parametrize("words", [(), ("-m",), ("--unknown",)])
def test_without_a_program_it_tells_how_to_call_it(tmp_path, words):
    ended = run(*words, at=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: python -m bge_fast.as_flagembedding PROGRAM.py")
    assert run("--help", at=tmp_path).returncode == 0


def test_a_pth_file_makes_it_so_for_a_whole_environment(tmp_path):
    (tmp_path / "as_flagembedding.pth").write_text("import bge_fast.as_flagembedding\n")
    code = f"import site; site.addsitedir({str(tmp_path)!r}); from FlagEmbedding import FlagModel; print(FlagModel.__module__)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("bge_fast.models.dense\n", "")
