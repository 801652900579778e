"""The samples of pages whose packages bring torch, or Ray, run on tiny checkpoints in place of the named ones."""

from pathlib import Path

import pytest

from tests.support.checkpoints import ROOT
from tests.test_docs import blocks

PAGES = {"sentence-transformers": "sentence_transformers", "ray": "ray.data"}
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("page", PAGES)
def test_samples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(PAGES[page], reason=f"{PAGES[page]} is not installed: make test-kits")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "python"))  # for the processes that Ray starts
    program = "\n".join(block for language, block in blocks(page) if language == "python")
    assert program
    assert "BAAI/" not in program
    exec(compile(program, f"docs/{page}.md", "exec"), {})
