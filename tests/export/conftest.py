"""Checkpoints to export, and the command run in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bge_fast_export.__main__ import main
from tests.export.running import EVERY_KIND, MODELS, Command, Run


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `bge-fast-export` here, without the seconds that importing torch takes in a new process."""

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Run(status, out, err)

    return run


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of tiny-bert to spoil."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(MODELS / "tiny-bert", folder)
    return folder


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a checkpoint, to spoil it: `copy_of("tiny-m3")`."""
    return lambda name: shutil.copytree(MODELS / name, tmp_path / name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder to write model folders into."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model folders of the tiny checkpoints."""
    place = tmp_path_factory.mktemp("exported")
    for name in EVERY_KIND:
        assert main([str(MODELS / name), "-o", str(place / name)]) == 0
    return {name: place / name for name in EVERY_KIND}
