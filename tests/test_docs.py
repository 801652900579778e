"""The Python samples of manual pages run, on tiny checkpoints in place of the named ones."""

import re
from pathlib import Path

import pytest

from tests.support.checkpoints import ROOT, checkpoint

TINY = {
    "BAAI/bge-small-en-v1.5": "tiny-bert",
    "BAAI/bge-m3": "tiny-m3",
    "BAAI/bge-reranker-base": "tiny-reranker-bert",
}


@pytest.mark.parametrize("page", ["search", "evaluation", "mining"])
def test_samples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    assert samples
    program = "\n".join(samples)
    for name, tiny in TINY.items():
        program = program.replace(f'"{name}"', repr(str(checkpoint(tiny))))
    assert "BAAI/" not in program
    exec(compile(program, f"docs/{page}.md", "exec"), {})
