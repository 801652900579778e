"""Two writers of one folder, and what a failed one removes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bge_fast_export.errors import OutputError
from bge_fast_export.folder import replacing


def test_second_writer_waits_and_finds_the_folder_taken(place: Path) -> None:
    target = place / "out"
    waiting = threading.Event()
    outcome: list[Exception] = []

    def second() -> None:
        try:
            with replacing(target, overwrite=False, on_wait=waiting.set):
                outcome.append(AssertionError("both writers got in"))
        except OutputError as error:
            outcome.append(error)

    with replacing(target, overwrite=False, on_wait=lambda: None) as folder:
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        (folder / "file").write_text("first")
        assert not target.exists()
        assert not outcome
    thread.join(10)
    assert [type(error) for error in outcome] == [OutputError]
    assert "exists and is not empty" in str(outcome[0])
    assert (target / "file").read_text() == "first"
    assert os.listdir(place) == ["out"]


def test_empty_folder_is_filled_in_place(place: Path) -> None:
    (place / "out").mkdir()
    with replacing(place / "out", overwrite=False, on_wait=lambda: None) as folder:
        (folder / "file").write_text("new")
    assert os.listdir(place / "out") == ["file"]


def test_failure_removes_the_parents_that_were_made(place: Path) -> None:
    def fail() -> None:
        with replacing(place / "a/b/out", overwrite=False, on_wait=lambda: None) as folder:
            (folder / "file").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(place) == []


def test_left_overs_of_other_targets_stay(place: Path) -> None:
    (place / ".other.bge-fast-export-1").mkdir()
    (place / ".o[u]t.bge-fast-export-1").mkdir()
    with replacing(place / "o[u]t", overwrite=False, on_wait=lambda: None) as folder:
        (folder / "file").write_text("new")
    assert sorted(os.listdir(place)) == [".other.bge-fast-export-1", "o[u]t"]


def test_folders_are_as_readable_as_others(place: Path) -> None:
    with replacing(place / "out", overwrite=False, on_wait=lambda: None) as folder:
        (folder / "file").touch(mode=0o600)
    (place / "plain").mkdir()
    (place / "plain/file").touch()
    for name in ("", "file"):
        assert (place / "out" / name).stat().st_mode == (place / "plain" / name).stat().st_mode
