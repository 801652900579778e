"""The samples of the frameworks' pages run, on tiny checkpoints in place of the named ones."""

from pathlib import Path

import pytest

from tests.test_docs import blocks

PAGES = {
    "langchain": ("langchain_core", "langchain_classic", "langchain_qdrant"),
    "llama-index": ("llama_index.core",),
    "haystack": ("haystack",),
    "vector-stores": ("qdrant_client", "pymilvus", "milvus_lite", "pgvector", "chromadb"),
}


@pytest.mark.parametrize("page", PAGES)
def test_samples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in PAGES[page]:
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    program = "\n".join(block for language, block in blocks(page) if language == "python")
    assert program
    assert "BAAI/" not in program
    exec(compile(program, f"docs/{page}.md", "exec"), {})
