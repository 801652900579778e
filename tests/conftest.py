"""Models that tests share, or may change."""

import shutil
import signal
from pathlib import Path

import pytest

from bge_fast import FlagModel
from tests.support.checkpoints import checkpoint, exported

# Where the tests run in the background, Ctrl-C is ignored, also in the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
