"""Graphs that bge_fast assembles in memory compute what torch computes, and what Optimum's graph does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import transformers

from tests.export.encoders import FORMS, SHAPES, Form, Shape, write_encoder
from tests.export.mistakes import MISTAKES, Mistake
from tests.export.referee import LIMITS, Checkpoint, Figures, beyond_limits
from tests.export.running import MODELS, REAL_MODELS, ROOT, TINY

pytestmark = pytest.mark.filterwarnings("ignore")

REAL = {
    "bge-small-en-v1.5": REAL_MODELS / "bge-small-en-v1.5",
    "bge-small-zh-v1.5": REAL_MODELS / "bge-small-zh-v1.5",
    "all-MiniLM-L6-v2": ROOT / ".venv" / "all-MiniLM-L6-v2",
}
STORED = [shape for shape in SHAPES if shape.name in ("bert-3-2x33", "xlm-roberta-2-4x20")]
Table = dict[str, Figures]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """No lines about poolers that are left out, no bars."""
    level, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity(level)
    if bars:
        transformers.logging.enable_progress_bar()


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """Collects the figures and prints them when all checkpoints have been compared."""
    rows: Table = {}
    yield rows
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    lines = [["checkpoint", *LIMITS], ["---"] + ["--:"] * len(LIMITS)]
    lines += [[name, *(f"{value * 1e6:.2f}" for value in figures.values())] for name, figures in rows.items()]
    terminal.write_line("\n\nlargest differences, in millionths\n")
    for line in lines:
        terminal.write_line(f"| {' | '.join(line)} |")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for checkpoints and graphs, which are too large to be kept."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_random_encoder(shape: Shape, scratch: Path, table: Table) -> None:
    write_encoder(shape, scratch / "model")
    compare(shape.name, scratch / "model", scratch, table)


@pytest.mark.parametrize("name", TINY)
def test_tiny_checkpoint(name: str, scratch: Path, table: Table) -> None:
    compare(name, MODELS / name, scratch, table)


@pytest.mark.parametrize("name", REAL)
def test_real_checkpoint(name: str, scratch: Path, table: Table) -> None:
    if not REAL[name].is_dir():
        pytest.skip(f"there is no {REAL[name]}")
    compare(name, REAL[name], scratch, table)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("shape", STORED, ids=lambda shape: shape.name)
def test_stored_form(shape: Shape, form: Form, scratch: Path, table: Table) -> None:
    write_encoder(shape, scratch / "model")
    form(scratch / "model")
    compare(f"{shape.name}, {form.__name__.replace('_', ' ')}", scratch / "model", scratch, table)


def compare(name: str, folder: Path, scratch: Path, table: Table) -> None:
    table[name] = Checkpoint(folder, scratch).figures()
    assert beyond_limits(table[name]) == {}


@pytest.fixture(scope="module")
def judged() -> Iterator[Checkpoint]:
    """One whose graph is spoilt."""
    with tempfile.TemporaryDirectory() as folder:
        shape = next(shape for shape in SHAPES if shape.name == "bert-2-3x5")
        write_encoder(shape, Path(folder) / "model")
        checkpoint = Checkpoint(Path(folder) / "model", Path(folder))
        assert beyond_limits(checkpoint.figures()) == {}
        yield checkpoint


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_mistakes_are_seen(mistake: Mistake, judged: Checkpoint) -> None:
    def spoil(graph: bytes) -> bytes:
        model = onnx.load_from_string(graph)
        mistake(model.graph)
        return model.SerializeToString()

    assert beyond_limits(judged.figures(spoil)) != {}
