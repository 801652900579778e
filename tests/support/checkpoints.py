"""Models for the tests: the tiny checkpoints, real ones where they are, and the folders that `make models` exports."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = ROOT / "build" / "models"
SHARED = ROOT.parent / "shared" / "data"


def exported(name: str) -> Path:
    """The exported folder of a checkpoint. Tiny ones must be there; real ones are skipped where their weights are not."""
    folder = EXPORTED / name
    if not (folder / "bge_fast.json").is_file():
        if name.startswith("tiny"):
            pytest.fail(f"build/models/{name} is missing: run `make models`")
        pytest.skip(f"the real weights of {name} are not on this machine")
    return folder


def checkpoint(name: str) -> Path:
    """The folder of a checkpoint; skips where there are no real weights."""
    if name.startswith(("tiny", "decoder")):
        return ROOT / "tests" / "checkpoints" / name
    folders = (SHARED / "models" / name, ROOT / ".venv" / name)
    folder = next((folder for folder in folders if (folder / "config.json").is_file()), None)
    if folder is None:
        pytest.skip(f"the real weights of {name} are not on this machine")
    return folder


# What most models are opened from, and what the exporter makes of it.
SOURCES = {"checkpoint": checkpoint, "model folder": exported}


def edit_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
