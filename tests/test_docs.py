"""The samples of manual pages run, on tiny checkpoints in place of the named ones."""

import contextlib
import io
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from bge_fast.commands.cli import main
from tests.support.checkpoints import ROOT, checkpoint

TINY = {
    "BAAI/bge-small-en-v1.5": "tiny-bert",
    "BAAI/bge-base-en-v1.5": "tiny-bert",
    "BAAI/llm-embedder": "tiny-bert",
    "BAAI/bge-m3": "tiny-m3",
    "BAAI/bge-reranker-base": "tiny-reranker-bert",
    "BAAI/bge-reranker-v2-m3": "tiny-reranker",
    "sentence-transformers/all-MiniLM-L6-v2": "tiny-bert",
}


# Pages whose samples run one after the other, as one program.
PROGRAMS = (
    "README",
    "async-and-streams",
    "choosing",
    "evaluation",
    "fine-tuning",
    "m3",
    "migrate",
    "migrate-libraries",
    "mining",
    "precision",
    "reranking",
    "search",
)
# Pages whose samples and commands run in the order of the page.
WALKS = {"first-hour": {"embed", "search", "compare"}, "tutorial": {"embed", "search", "eval", "mine", "score", "mix"}}
# Where samples of other pages run, or why they do not.
ELSEWHERE = {
    "air-gapped": "tests/test_docs_offline.py",
    "decoders": "layers are chosen that only the real models have; tests/models/test_golden_decoders.py makes the calls",
    "gpu": "needs two GPUs; tests/gpu makes the calls",
    "haystack": "tests/integrations/test_docs.py",
    "langchain": "tests/integrations/test_docs.py",
    "llama-index": "tests/integrations/test_docs.py",
    "merging": "mixes models of one's own; tests/merging makes the calls",
    "ray": "tests/kits/test_docs.py",
    "sentence-transformers": "tests/kits/test_docs.py",
    "server": "tests/integrations/test_server_clients.py",
    "vector-stores": "tests/integrations/test_docs.py",
}


def source(page: str) -> str:
    return (ROOT / f"{page}.md" if page == "README" else ROOT / "docs" / f"{page}.md").read_text()


def blocks(page: str) -> list[tuple[str, str]]:
    """The page's blocks of code, in order, each behind its language, and with paths of tiny checkpoints."""
    text = source(page)
    for name, tiny in TINY.items():
        text = text.replace(name, str(checkpoint(tiny)))
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """The words of each command that a block shows behind a dollar; a backslash goes on with the next line."""
    return [shlex.split(line) for line in re.findall(r"^\$ (.*)", block.replace("\\\n", ""), re.MULTILINE)]


def test_each_page_with_samples_is_run_or_says_where() -> None:
    pages = {file.stem for file in (ROOT / "docs").glob("*.md") if "```python" in file.read_text()}
    assert {*PROGRAMS, *WALKS, *ELSEWHERE} == {"README", *pages}
    tests = [reason for reason in ELSEWHERE.values() if reason.endswith(".py") and " " not in reason]
    assert all((ROOT / file).is_file() for file in tests)


@pytest.mark.filterwarnings("ignore:.*is lowered to")
@pytest.mark.parametrize("page", PROGRAMS)
def test_samples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint("tiny-bert"), "finetuned")
    samples = [block for language, block in blocks(page) if language == "python"]
    assert samples
    program = "\n".join(samples)
    assert "BAAI/" not in program
    exec(compile(program, f"docs/{page}.md", "exec"), {})


@pytest.mark.filterwarnings("ignore:.*is lowered to")
@pytest.mark.parametrize("page", WALKS)
def test_a_page_runs_from_its_first_line_to_its_last(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands too, in the order of the page. Training is elsewhere: another checkpoint stands for what it makes."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    verbs, elsewhere = [], []
    for language, block in blocks(page):
        assert "BAAI/" not in block
        if language == "python":
            exec(compile(block, f"docs/{page}.md", "exec"), names)
        for program, *words in commands(block):
            if program == "bge-fast":
                verbs.append(words[0])
                assert main(words) == 0, words
            else:
                elsewhere.append(words[1])
                shutil.copytree(checkpoint("tiny-bert"), words[words.index("--output_dir") + 1])
    assert set(verbs) == WALKS[page]
    assert elsewhere == (["FlagEmbedding.finetune.embedder.encoder_only.base"] if page == "tutorial" else [])


# What the page's commands read, and what ends with another status than 0.
LINES = ["heat transfer in slip flow", "boundary layer", "wings in a slipstream"]
STATUS = {"bge-fast: error": 1, "verdict: error": 3}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is lowered to")
def test_the_command_line_does_what_its_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command ends as it is shown to; its output is of real models there."""
    monkeypatch.chdir(tmp_path)
    for name in ("bge-small-en-v1.5", "finetuned"):
        shutil.copytree(checkpoint("tiny-bert"), name)
    Path("lines.txt").write_text("\n".join(LINES) + "\n")
    corpus = [{"_id": str(number), "text": f"{LINES[number % 3]}, part {number}"} for number in range(40)]
    for name in ("corpus.jsonl", "queries.jsonl"):
        Path(name).write_text("".join(json.dumps(one) + "\n" for one in corpus))
    verbs = []
    for _, block in blocks("command-line"):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = command.partition("\n")
            words, _, target = line.partition(" > ")
            program, *rest = shlex.split(words)
            if program != "bge-fast":
                continue
            rest += ["--seconds", "0.01"] if rest[0] == "bench" else []
            verbs.append(rest[0])
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                ended = main(rest)
            assert ended == next((status for sign, status in STATUS.items() if sign in shown), 0), line
            if target:
                Path(target).write_text(printed.getvalue())
    assert set(verbs) >= {"embed", "search", "rerank", "compare", "bench", "mix", "info", "doctor"}
