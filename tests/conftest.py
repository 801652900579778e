"""Model folders for the tests: exported by `make models` from the tiny checkpoints, and from real ones where they are."""

import json
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


@pytest.fixture(scope="session")
def tiny_bert() -> Path:
    return exported("tiny-bert")


@pytest.fixture(scope="session")
def tiny_xlmr() -> Path:
    return exported("tiny-xlmr")


@pytest.fixture(scope="session")
def bert(tiny_bert: Path) -> FlagModel:
    """An open tiny BERT that tests share; a test that assigns attributes opens its own."""
    return FlagModel(str(tiny_bert))


@pytest.fixture(scope="session")
def xlmr(tiny_xlmr: Path) -> FlagModel:
    return FlagModel(str(tiny_xlmr))


@pytest.fixture
def own_folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT folder that a test may change."""
    import shutil

    return shutil.copytree(tiny_bert, tmp_path / "tiny-bert")


def edit_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
