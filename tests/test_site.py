"""What pages of the documentation say of the sources: messages that exist, pictures that are as drawn."""

import json
import re
import sys

import pytest

from tests.support.checkpoints import ROOT
from tests.test_house import PYTHON, RUST, sources

SOURCES = [file.read_text() for tree in (PYTHON, RUST) for file in sources(tree)]
# Strings that go on in the next line, as one.
JOINED = [re.sub(r'"\s*\n\s*f?"|\\\n\s*', "", text) for text in SOURCES]
MESSAGES = re.findall(
    r"`([^`]+)`", "\n".join(re.findall(r"^### (.*)", (ROOT / "docs/troubleshooting.md").read_text(), re.M))
)


def is_said(message: str) -> bool:
    """Whether one file has all parts of a message, between which there are names and numbers."""
    parts = [part.strip() for part in message.split("…")]
    return any(all(part in text for part in parts) for text in JOINED)


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_that_are_explained_are_said(message: str) -> None:
    assert is_said(message), f"no source says {message!r}"


def test_a_message_that_nobody_says_is_found() -> None:
    assert len(MESSAGES) > 20
    assert not is_said("the model is tired")


def test_all_exceptions_are_explained() -> None:
    from bge_fast import errors

    page = (ROOT / "docs/troubleshooting.md").read_text()
    names = [name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_chart_is_drawn_from_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests/benchmarks"))
    charts = pytest.importorskip("charts")
    figures = json.loads((ROOT / "docs/figures/bench.json").read_text())
    assert (ROOT / "docs/figures/overview.svg").read_text() == charts.draw(charts.panels(figures["results"]))
    sys.modules.pop("charts")
