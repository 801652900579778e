"""``embed --resume``: a killed run goes on where it was, with the same result, and never mixes what differs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast.commands import embed as embed_verb
from bge_fast.commands import resuming, texts
from bge_fast.commands.cli import main
from bge_fast.errors import BGEFastError
from tests.support.checkpoints import checkpoint

TEXTS = [f"heat transfer number {number}" for number in range(40)]
CHUNK = 4


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks, and a note after each."""
    monkeypatch.setattr(texts, "CHUNK_TEXTS", CHUNK)
    monkeypatch.setattr(resuming, "CHUNK_TEXTS", CHUNK)
    monkeypatch.setattr(resuming, "_FEWEST_TEXTS", CHUNK)
    monkeypatch.setattr(embed_verb, "_COLBERT_TEXTS", CHUNK)
    monkeypatch.setattr(resuming, "_INTERVAL", -1)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "lines.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


@pytest.fixture
def model(tmp_path: Path, tiny_bert: Path) -> Path:
    return shutil.copytree(tiny_bert, tmp_path / "model")


def broken_off(words: list[str], after: int, how: BaseException) -> int:
    """Run a command that ends by an exception when some chunks are computed."""
    computed, vectors_of = 0, embed_verb.vectors_of

    def counted(encode: Any, chunk: list[texts.Text], **options: Any) -> Any:
        nonlocal computed
        if chunk and computed == after:
            raise how
        computed += bool(chunk)
        return vectors_of(encode, chunk, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embed_verb, "vectors_of", counted)
        return main(words)


def computed_by(words: list[str]) -> tuple[int, int]:
    """The exit status of a command, and how many texts it computed."""
    count, vectors_of = 0, embed_verb.vectors_of

    def counted(encode: Any, chunk: list[texts.Text], **options: Any) -> Any:
        nonlocal count
        count += len(chunk)
        return vectors_of(encode, chunk, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embed_verb, "vectors_of", counted)
        return main(words), count


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


OUTPUTS: dict[str, list[str]] = {
    "out.npy": [],
    "out.jsonl": [],
    "half.npy": ["--dtype", "float16"],
    "int8.npy": ["--dtype", "int8"],
    "out.npz": ["--sparse"],
    "colbert.jsonl": ["--sparse", "--colbert"],
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("how", [KeyboardInterrupt(), SystemExit(143), OSError(28, "No space left on device")])
def test_the_result_is_that_of_one_run(
    model: Path, lines: Path, tmp_path: Path, name: str, how: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint("tiny-m3") if "--sparse" in OUTPUTS[name] else model
    words = ["embed", str(folder), str(lines), *OUTPUTS[name], "-o"]
    assert main([*words, str(tmp_path / "in" / name)]) == 0
    out = tmp_path / name
    assert broken_off([*words, str(out), "--resume"], 3, how) != 0
    assert names(tmp_path) == [f"{name}.partial", f"{name}.partial.json"]
    assert computed_by([*words, str(out), "--resume"]) == (0, len(TEXTS) - 3 * CHUNK)
    assert f"going on after {3 * CHUNK} texts" in capsys.readouterr().err
    assert names(tmp_path) == [name]
    assert out.read_bytes() == (tmp_path / "in" / name).read_bytes()


def test_interrupted_again_and_again(model: Path, lines: Path, tmp_path: Path) -> None:
    words = ["embed", str(model), str(lines), "--resume", "-o", str(tmp_path / "out.npy")]
    for _ in range(4):
        assert broken_off(words, 2, KeyboardInterrupt()) == 130
    assert computed_by(words) == (0, len(TEXTS) - 4 * 2 * CHUNK)
    assert main([*words[:3], "-o", str(tmp_path / "whole.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.load(tmp_path / "whole.npy"))


def test_rows_that_were_not_noted_are_computed_again(model: Path, lines: Path, tmp_path: Path) -> None:
    """As after a loss of power: what is behind the last note does not count, nor a part that is shorter than noted."""
    out = tmp_path / "out.npy"
    words = ["embed", str(model), str(lines), "--resume", "-o", str(out)]
    part = tmp_path / "out.npy.partial"

    def noted_as(name: str, value: object) -> str:
        return json.dumps({**json.loads(part.with_name("out.npy.partial.json").read_text()), name: value})

    for spoil, left in (
        (lambda: part.write_bytes(part.read_bytes() + b"half a row"), len(TEXTS) - 3 * CHUNK),
        (lambda: part.write_bytes(part.read_bytes()[:-1]), len(TEXTS)),
        (lambda: part.with_name("out.npy.partial.json").unlink(), len(TEXTS)),
        (lambda: part.with_name("out.npy.partial.json").write_text('{"texts"'), len(TEXTS)),
        (lambda: part.with_name("out.npy.partial.json").write_text(noted_as("bytes", "many")), len(TEXTS)),
    ):
        assert broken_off(words, 3, KeyboardInterrupt()) == 130
        spoil()
        assert computed_by(words) == (0, left)
        assert main([*words[:3], "-o", str(tmp_path / "whole.npy")]) == 0
        assert np.array_equal(np.load(out), np.load(tmp_path / "whole.npy"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--max-length", "9"], "max_length"),
        (["--instruction", "passage: "], "instruction"),
        (["--pooling", "mean"], "pooling"),
        (["--truncate-dim", "8"], "truncate_dim"),
        (["--dtype", "float16"], "dtype"),
        (["--query"], "query"),
        (["--precision", "int8"], "precision"),
        ("weights", "model"),
        ("another model", "model"),
    ],
)
def test_what_differs_is_never_mixed(
    model: Path,
    lines: Path,
    tmp_path: Path,
    change: list[str] | str,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["embed", str(model), str(lines), "--resume", "-o", str(tmp_path / "out.npy")]
    assert broken_off(words, 3, KeyboardInterrupt()) == 130
    before = (tmp_path / "out.npy.partial").read_bytes()
    if change == "weights":
        (model / "model.safetensors").touch()
    elif change == "another model":
        shutil.copytree(checkpoint("tiny-roberta"), model, dirs_exist_ok=True)
    again = [*words, *change] if isinstance(change, list) else words
    assert main(again) == 1
    assert f"was made with another {told}" in capsys.readouterr().err
    assert (tmp_path / "out.npy.partial").read_bytes() == before
    again.remove("--resume")
    assert main(again) == 0
    assert "--resume would go on" in capsys.readouterr().err
    assert names(tmp_path) == ["out.npy"]


def test_other_texts_are_refused_and_new_ones_taken(
    model: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["embed", str(model), str(lines), "--resume", "-o", str(tmp_path / "out.npy")]
    assert broken_off(words, 3, KeyboardInterrupt()) == 130
    lines.write_text("\n".join(["another text", *TEXTS[1:]]) + "\n")
    assert main(words) == 1
    assert f"lines.txt:{3 * CHUNK}: the {3 * CHUNK} texts up to here are not those of" in capsys.readouterr().err
    lines.write_text("\n".join(TEXTS[:5]) + "\n")
    assert main(words) == 1
    lines.write_text("\n".join([*TEXTS, "one more"]) + "\n")
    assert computed_by(words) == (0, len(TEXTS) + 1 - 3 * CHUNK)


def test_where_it_cannot_resume_it_says_so(
    model: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    targets = [["-o", str(tmp_path / name)] for name in ("x.parquet", "pipe.jsonl")]
    for words in ([str(lines)], *([str(lines), *target] for target in targets), ["-o", str(tmp_path / "x.npy")]):
        assert main(["embed", str(model), *words, "--resume"]) == 1
        assert "--resume is for files of texts" in capsys.readouterr().err


def test_two_runs_do_not_write_one_file(model: Path, lines: Path, tmp_path: Path) -> None:
    with (
        resuming.resumed(tmp_path / "out.npy", {}),
        pytest.raises(BGEFastError, match="written by another run"),
        resuming.resumed(tmp_path / "out.npy", {}),
    ):
        pass
    assert names(tmp_path) == []


def test_what_another_run_completes_meanwhile_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, part = tmp_path / "out.npy", tmp_path / "out.npy.partial"
    part.write_bytes(b"complete")
    # Between opening the part and locking it.
    monkeypatch.setattr(resuming.fcntl, "flock", lambda *_: part.replace(out))
    with pytest.raises(BGEFastError, match="by another run just now"), resuming.resumed(out, {}):
        pass
    assert out.read_bytes() == b"complete"


def test_a_note_of_rows_that_are_lost_goes_with_them(model: Path, lines: Path, tmp_path: Path) -> None:
    """Else the next run would take it for one of what is written since."""
    words = ["embed", str(model), str(lines), "--resume", "-o", str(tmp_path / "out.npy")]
    assert broken_off(words, 3, KeyboardInterrupt()) == 130
    (tmp_path / "out.npy.partial").unlink()
    with resuming.resumed(tmp_path / "out.npy", {}):
        assert not (tmp_path / "out.npy.partial.json").exists()


@pytest.mark.slow
def test_killed_and_gone_on(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "CHUNK_TEXTS", 1024)
    monkeypatch.setattr(resuming, "CHUNK_TEXTS", 1024)
    monkeypatch.setattr(resuming, "_INTERVAL", 1.0)
    lines = tmp_path / "in.txt"
    lines.write_text("".join(f"heat transfer number {number}\n" for number in range(60_000)))
    words = ["embed", str(model), str(lines), "--resume", "-o", str(tmp_path / "out.npy")]
    for _ in range(2):
        running = subprocess.Popen([sys.executable, "-m", "bge_fast", *words])
        described, begun = tmp_path / "out.npy.partial.json", time.time()
        while not described.exists() or described.stat().st_mtime < begun:
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
    done = json.loads(described.read_text())["texts"]
    assert 0 < done < 60_000
    (tmp_path / ".bge-fast-0badcafe").write_bytes(b"left by the kill")
    assert computed_by(words) == (0, 60_000 - done)
    assert names(tmp_path) == ["in.txt", "out.npy"]
    assert main(["embed", str(model), str(lines), "-o", str(tmp_path / "whole.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.load(tmp_path / "whole.npy"))


def test_chunks_of_slow_models_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(resuming, "CHUNK_TEXTS", 1024)
    monkeypatch.setattr(resuming, "_FEWEST_TEXTS", 16)
    monkeypatch.setattr("time.monotonic", lambda: now)

    def sizes(seconds_a_text: float, count: int) -> list[int]:
        nonlocal now
        pace, given = resuming.Pace(), []
        for _ in range(count):
            given.append(pace())
            now += given[-1] * seconds_a_text
        return given

    assert sizes(1e-4, 8) == [16, 32, 64, 128, 256, 512, 1024, 1024]
    assert sizes(0.05, 6) == [16, 32, 64, 128, 128, 128], "6.4 seconds"
    assert sizes(2.0, 3) == [16, 16, 16]
    assert sizes(0.15, 4) == [16, 32, 64, 64]
