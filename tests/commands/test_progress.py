"""How far a command is: a bar of texts on a terminal, and a closing line."""

import gzip
import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from bge_fast.commands.texts import TextReader, chunks
from tests.support.checkpoints import checkpoint

PROGRAM = [sys.executable, "-m", "bge_fast"]


def on_a_terminal(words: list[str], sent: bytes | None = None) -> str:
    """What a command writes to stderr when that is a terminal."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 120))
    ended = subprocess.run([*PROGRAM, *words], stderr=end, stdout=subprocess.DEVNULL, input=sent, check=False)
    os.close(end)
    shown = b""
    while b"\n" not in shown[-1:]:
        shown += os.read(terminal, 65536)
    os.close(terminal)
    assert ended.returncode == 0, shown
    return shown.decode()


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("a wing in a slipstream\n" * 299 + "heat transfer " * 300)
    return path


def test_the_bar_counts_texts_and_a_line_closes(tiny_bert: Path, lines: Path, tmp_path: Path) -> None:
    shown = on_a_terminal(["embed", str(tiny_bert), str(lines), "-o", str(tmp_path / "out.npy"), "--device", "cpu"])
    assert "300/300" in shown
    assert re.search(r"[\d.]+ ?text/s", shown)
    assert re.search(r"bge-fast: 300 texts on cpu in \d+\.\d s, [\d,.]+ a second; 1 cut at --max-length\r\n$", shown)


def test_a_pipe_has_no_total(tiny_bert: Path, lines: Path) -> None:
    shown = on_a_terminal(["embed", str(tiny_bert), "--max-length", "64"], lines.read_bytes()[:2300])
    assert re.search(r"100text \[", shown)
    assert "; none cut at --max-length" in shown


def test_other_verbs_close_too(tiny_bert: Path, lines: Path) -> None:
    assert "bge-fast: 300 passages on cpu in" in on_a_terminal(
        ["search", str(tiny_bert), "wing", "--passages", str(lines)]
    )
    reranker = str(checkpoint("tiny-reranker"))
    shown = on_a_terminal(["rerank", reranker, "wing", "--passages", str(lines)])
    assert re.search(r"bge-fast: 300 pairs on cpu in \d+\.\d s, [\d,.]+ a second\r\n$", shown)
    shown = on_a_terminal(["embed", str(checkpoint("tiny-m3")), str(lines), "--sparse", "--max-length", "400"])
    assert re.search(r"bge-fast: 300 texts on cpu .*; 1 cut at --max-length\r\n$", shown)


def test_nothing_is_shown_elsewhere(tiny_bert: Path, lines: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "embed", str(tiny_bert), str(lines), "-o", str(tmp_path / "out.npy")]
    assert subprocess.run(command, stderr=subprocess.PIPE, check=True).stderr == b""


@pytest.mark.parametrize("form", ["txt", "csv", "json", "txt.gz"])
def test_the_total_is_foreseen(tmp_path: Path, form: str) -> None:
    texts = [f"text number {number}" for number in range(5000)]
    content = json.dumps(texts) if form == "json" else "\n".join(["text", *texts] if form == "csv" else texts)
    file = tmp_path / f"d.{form}"
    file.write_bytes(gzip.compress(content.encode()) if form.endswith("gz") else content.encode())
    reader = TextReader([str(file)])
    for _again in range(2):
        read = 0
        for chunk in chunks(reader):
            read += len(chunk)
            expected = reader.expected(read)
            assert expected is not None
            assert read <= expected
            assert form.endswith("gz") or abs(expected - 5000) < 500
        assert read == expected == 5000
