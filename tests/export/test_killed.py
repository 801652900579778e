"""Killed at any moment, an export leaves the old folder or the whole new one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.export.running import MODELS

CHECKPOINT = str(MODELS / "tiny-bert")
KILLABLE = Path(__file__).with_name("killable.py")

Order = Callable[..., int]


@pytest.fixture(scope="module")
def export_killed() -> Iterator[Order]:
    """Run an export that is killed at a moment; returns its status."""
    with subprocess.Popen(
        [sys.executable, KILLABLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def order(moment: str, *arguments: str) -> int:
            line = {"moment": moment, "arguments": [CHECKPOINT, "--precision", "fp32", *arguments]}
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield order
        process.stdin.close()


def old_folder(target: Path) -> None:
    (target / "onnx").mkdir(parents=True)
    (target / "onnx/model.onnx").write_text("old graph")
    (target / "bge_fast.json").write_text("old manifest")


def is_old(target: Path) -> bool:
    contents = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    return (
        contents == {"onnx/model.onnx", "bge_fast.json"}
        and (target / "onnx/model.onnx").read_text() == "old graph"
        and (target / "bge_fast.json").read_text() == "old manifest"
    )


def assert_whole(target: Path) -> None:
    listed = json.loads((target / "bge_fast.json").read_text())["files"]
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert there == {*listed, "bge_fast.json"}
    for name, entry in listed.items():
        assert hashlib.sha256((target / name).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.parametrize(
    ("moment", "complete"),
    [
        ("before the weights", False),
        ("with the fp32 graph", False),
        ("with the manifest", False),
        ("while syncing", False),
        ("before the rename", False),
        ("after the rename", True),
    ],
)
def test_new_folder(moment: str, complete: bool, place: Path, export_killed: Order) -> None:
    target = place / "out"
    assert export_killed(moment, "-o", str(target)) == -signal.SIGKILL
    assert target.exists() == complete
    if complete:
        assert_whole(target)


@pytest.mark.parametrize(
    ("moment", "replaced"),
    [
        ("with the manifest", False),
        ("before the rename", False),
        ("after the rename", True),
    ],
)
def test_replaced_folder(moment: str, replaced: bool, place: Path, export_killed: Order) -> None:
    target = place / "out"
    old_folder(target)
    assert export_killed(moment, "-o", str(target), "--overwrite") == -signal.SIGKILL
    if replaced:
        assert_whole(target)
    else:
        assert is_old(target)


def test_next_export_sweeps_what_killed_ones_left(place: Path, export_killed: Order) -> None:
    target = place / "out"
    old_folder(target)
    export_killed("after the rename", "-o", str(target), "--overwrite")
    assert sorted(os.listdir(place))[0].startswith(".out.bge-fast-export-")
    assert export_killed("never", "-o", str(target), "--overwrite") == 0
    assert os.listdir(place) == ["out"]
    assert_whole(target)


def test_command_killed_from_outside(place: Path) -> None:
    target = place / "out"
    old_folder(target)
    with subprocess.Popen(
        [sys.executable, "-m", "bge_fast_export", CHECKPOINT, "-o", str(target), "--overwrite"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Exporting" in line:
                process.kill()
                break
        assert process.wait() == -signal.SIGKILL
    assert is_old(target)
