"""Models for the tests: the tiny checkpoints, real ones where they are, and the model folders that `make models` exports."""

import json
import shutil
import signal
import sys
from pathlib import Path

import pytest

from bge_fast import FlagModel

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "build" / "models"
SHARED = ROOT.parent / "shared" / "data"
sys.path[:0] = [str(ROOT / "tests" / "parity"), str(ROOT / "tests" / "benchmarks")]

# Where the tests run in the background, Ctrl-C is ignored, also in the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def exported(name: str) -> Path:
    """The exported folder of a checkpoint. Tiny ones must be there; real ones are skipped where their weights are not."""
    folder = MODELS / name
    if not (folder / "bge_fast.json").is_file():
        if name.startswith("tiny"):
            pytest.fail(f"build/models/{name} is missing: run `make models`")
        pytest.skip(f"the real weights of {name} are not on this machine")
    return folder


def checkpoint(name: str) -> Path:
    """The folder of a checkpoint; skips where there are no real weights."""
    if name.startswith("tiny"):
        return ROOT / "tests" / "models" / name
    folders = (SHARED / "models" / name, ROOT / ".venv" / name)
    folder = next((folder for folder in folders if (folder / "config.json").is_file()), None)
    if folder is None:
        pytest.skip(f"the real weights of {name} are not on this machine")
    return folder


# What most models are opened from, and what the exporter makes of it.
SOURCES = {"checkpoint": checkpoint, "model folder": exported}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests whose parameters or fixtures ask for an exported folder."""
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "own_folder" in item.fixturenames or any(isinstance(one, str) and one == "model folder" for one in values):
            item.add_marker(pytest.mark.exported)


@pytest.fixture(scope="session")
def tiny_bert() -> Path:
    return checkpoint("tiny-bert")


@pytest.fixture(scope="session")
def tiny_xlmr() -> Path:
    return checkpoint("tiny-xlmr")


@pytest.fixture(scope="session")
def bert(tiny_bert: Path) -> FlagModel:
    """An open tiny BERT that tests share; a test that assigns attributes opens its own."""
    return FlagModel(str(tiny_bert))


@pytest.fixture(scope="session")
def xlmr(tiny_xlmr: Path) -> FlagModel:
    return FlagModel(str(tiny_xlmr))


@pytest.fixture
def own_checkpoint(tmp_path: Path) -> Path:
    """A copy of the tiny BERT checkpoint that a test may change."""
    return shutil.copytree(checkpoint("tiny-bert"), tmp_path / "checkpoint")


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A copy of the exported tiny BERT folder that a test may change."""
    return shutil.copytree(exported("tiny-bert"), tmp_path / "tiny-bert")


def edit_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
