"""The server's page in a real browser: it searches, reranks, and says what went wrong. `make test-browser`."""

import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bge_fast import FlagModel, FlagReranker
from tests.support.checkpoints import checkpoint
from tests.support.serving import Serving, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# A browser that looks for nothing outside, and waits for what the page fetches.
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --virtual-time-budget=20000 --dump-dom""".split()
QUERY = "What is the capital of France?"
PASSAGES = [
    "The boundary layer is the thin sheet of fluid that a surface slows down.",
    "Paris is the capital of France and lies on the Seine.",
    "A cross-encoder reads query and passage together and gives one score.",
    "Bread rises because yeast makes carbon dioxide.",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(str(checkpoint("tiny-bert")), str(checkpoint("tiny-reranker"))) as server:
        yield server


def page(url: str, profile: Path) -> str:
    """What the page has become when nothing goes on in it any more."""
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def shown(dom: str) -> list[tuple[str, float]]:
    """Passages in the order of the page, with their scores."""
    items = re.findall(r"<li>(.*?)<span>.*?</meter> (\S+) ·", dom, re.DOTALL)
    return [(html.unescape(passage), float(score)) for passage, score in items]


def test_search(server: Serving, tmp_path: Path) -> None:
    model = FlagModel(str(checkpoint("tiny-bert")))
    scores = model.encode_corpus(PASSAGES) @ model.encode_queries(QUERY)
    wanted = sorted(zip(PASSAGES, scores.tolist(), strict=True), key=lambda one: -one[1])
    found = shown(page(f"{server.url}/#search", tmp_path))
    assert [passage for passage, _ in found] == [passage for passage, _ in wanted]
    assert [score for _, score in found] == pytest.approx([score for _, score in wanted], abs=1e-4)


def test_rerank(server: Serving, tmp_path: Path) -> None:
    best = FlagReranker(str(checkpoint("tiny-reranker"))).rank(QUERY, PASSAGES, normalize=True)
    dom = page(f"{server.url}/#rerank", tmp_path)
    assert [passage for passage, _ in shown(dom)] == [PASSAGES[one.position] for one in best]
    assert [score for _, score in shown(dom)] == pytest.approx([one.score for one in best], abs=1e-4)
    assert re.search(r"Reranked 4 passages in \d+ ms", dom)


def test_models_are_offered_by_what_they_do(server: Serving, tmp_path: Path) -> None:
    dom = page(server.url, tmp_path)
    assert '<select id="embedder"><option value="tiny-bert">' in dom
    assert '<select id="reranker"><option value="tiny-reranker">' in dom
    assert "<li>" not in dom


def test_what_is_not_served_cannot_be_asked_for(tmp_path: Path) -> None:
    with serving(str(checkpoint("tiny-bert"))) as server:
        dom = page(f"{server.url}/#rerank", tmp_path)
    assert '<button id="rerank" type="button" disabled="">' in dom
    assert shown(dom) == []


def test_a_refusal_is_shown(tmp_path: Path) -> None:
    with serving(str(checkpoint("tiny-bert")), "--max-batch", "2") as server:
        dom = page(f"{server.url}/#search", tmp_path)
    assert re.search(r'<div id="status" role="status" class="failed">inputs has 4 texts, more than the 2', dom)
