"""The samples of pages whose packages bring torch, or Ray, run on tiny checkpoints in place of the named ones."""

from pathlib import Path

import pytest

from tests.test_docs import blocks

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_samples_for_sentence_transformers_run() -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed: make test-kits")
    run("sentence-transformers")


@pytest.mark.usefixtures("ray_of_two_cores")
def test_samples_for_ray_run(tmp_path: Path) -> None:
    """Ray's processes have another working folder."""
    run("ray", vectors=tmp_path / "vectors")
    assert any((tmp_path / "vectors").iterdir())


def run(page: str, **places: Path) -> None:
    program = "\n".join(block for language, block in blocks(page) if language == "python")
    for name, place in places.items():
        program = program.replace(f'"{name}"', repr(str(place)))
    assert program
    assert "BAAI/" not in program
    exec(compile(program, f"docs/{page}.md", "exec"), {})
