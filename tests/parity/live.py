"""What the live tests share: the table of differences, and where exported folders lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parity.checkpoints import ROOT

EXPORTED = Path(os.environ.get("BGE_FAST_MODELS", ROOT / "build" / "models"))
SOURCES = ("checkpoint", "exported")
Note = Callable[[str, str, str, str, float], None]


def noted(request: pytest.FixtureRequest) -> Iterator[Note]:
    """Takes model, source, call, what was compared and its largest difference; prints the table at the end."""
    rows: list[tuple[str, str, str, str, float]] = []
    yield lambda *row: rows.append(row)
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    terminal.write_line("\n\nlargest difference from FlagEmbedding")
    for name, source, call, what, difference in rows:
        terminal.write_line(f"{name:20} {source:11} {call:28} {what:22} {difference:.2e}")


def exported(name: str) -> Path:
    """The export of a checkpoint; skips the test where it is absent."""
    folder = EXPORTED / name
    if not (folder / "bge_fast.json").is_file():
        pytest.skip(f"no exported model at {folder}")
    return folder
