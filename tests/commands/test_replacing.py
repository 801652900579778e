"""What `-o` leaves: mode and owner of the file it replaces, pipes as pipes, nothing of runs that were killed."""

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bge_fast.commands.cli import main
from bge_fast.commands.replacing import replacing

PROGRAM = [sys.executable, "-m", "bge_fast"]
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("a wing\nheat transfer\n")
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o400, 0o755])
@pytest.mark.parametrize("name", ["out.npy", "out.jsonl"])
def test_the_mode_is_kept(tiny_bert: Path, lines: Path, tmp_path: Path, name: str, mode: int) -> None:
    out = tmp_path / name
    out.touch()
    out.chmod(mode)
    assert main(["embed", str(tiny_bert), str(lines), "-o", str(out)]) == 0
    assert (mode_of(out), out.stat().st_size > 0) == (mode, True)


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "new") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o640


def test_a_private_file_is_private_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "out").touch(0o600)
    with replacing(tmp_path / "out"):
        (temporary,) = tmp_path.glob(".bge-fast-*")
        assert mode_of(temporary) == 0o600


@AS_ROOT
def test_the_owner_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    os.chown(out, 1234, 4321)
    out.chmod(0o640)
    with replacing(out) as file:
        file.write(b"x")
    assert (out.stat().st_uid, out.stat().st_gid, mode_of(out)) == (1234, 4321, 0o640)


def test_an_owner_that_cannot_be_kept_opens_nothing_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    out, real = tmp_path / "out", os.fstat
    out.touch()
    out.chmod(0o664)
    monkeypatch.setattr(os, "fchown", refuse)
    other = list(out.stat())
    other[stat.ST_GID] += 1
    monkeypatch.setattr(
        os, "fstat", lambda file: os.stat_result(other) if stat.S_ISREG(real(file).st_mode) else real(file)
    )
    with replacing(out) as file:
        file.write(b"x")
    assert mode_of(out) == 0o604


def test_through_a_link_the_file_itself_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").touch(0o600)
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert ((tmp_path / "real").read_bytes(), mode_of(tmp_path / "real")) == (b"x", 0o600)


def test_a_pipe_is_written_to(tiny_bert: Path, lines: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "p.jsonl"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(pipe.read_text().splitlines()))
    reader.start()
    assert main(["embed", str(tiny_bert), str(lines), "-o", str(pipe)]) == 0
    reader.join(20)
    assert [json.loads(line)["text"] for line in read] == ["a wing", "heat transfer"]
    assert pipe.is_fifo()


def test_npy_is_not_written_into_a_pipe_nor_anything_into_a_socket(
    tiny_bert: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("p.npy")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.jsonl")
        for name, said in (("p.npy", "Write JSONL"), ("s.jsonl", "name a file")):
            kind = stat.S_IFMT(os.stat(name).st_mode)
            assert main(["embed", str(tiny_bert), str(lines), "-o", name]) == 1
            assert said in capsys.readouterr().err
            assert stat.S_IFMT(os.stat(name).st_mode) == kind


def test_what_a_killed_run_left_is_swept_by_the_next(tiny_bert: Path, lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    running = subprocess.Popen([*PROGRAM, "embed", str(tiny_bert), "-o", str(out)], stdin=subprocess.PIPE)
    while not list(tmp_path.glob(".bge-fast-*")):
        assert running.poll() is None
        time.sleep(0.02)
    assert main(["embed", str(tiny_bert), str(lines), "-o", str(tmp_path / "other.npy")]) == 0
    assert list(tmp_path.glob(".bge-fast-*")), "a running one's is left alone"
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert list(tmp_path.glob(".bge-fast-*")) != []
    assert main(["embed", str(tiny_bert), str(lines), "-o", str(out)]) == 0
    assert list(tmp_path.glob(".bge-fast-*")) == []


def test_only_files_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".bge-fast-folder").mkdir()
    os.mkfifo(tmp_path / ".bge-fast-pipe")
    (tmp_path / ".bge-fast-0badcafe").write_bytes(b"left")
    with (tmp_path / ".bge-fast-locked").open("wb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        with replacing(tmp_path / "out"):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {
        ".bge-fast-folder",
        ".bge-fast-pipe",
        ".bge-fast-locked",
        "out",
    }


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device: .*out"), replacing(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
