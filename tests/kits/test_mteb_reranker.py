"""mteb's own class for BGE rerankers, which imports FlagEmbedding, runs on `FlagReranker` unchanged."""

from typing import Any

import pytest

import bge_fast
import bge_fast.as_flagembedding
from tests.support.checkpoints import checkpoint

mteb = pytest.importorskip("mteb", reason="mteb is not installed: make test-kits")
pytestmark = pytest.mark.filterwarnings("ignore")

RERANKER = str(checkpoint("tiny-reranker-bert"))
QUERIES = ["flow of heat", "wings", "wings"]
PASSAGES = ["heat transfer in flow", "boundary layer of wings", "wing"]


@pytest.fixture(scope="module")
def reranker() -> Any:
    from mteb.models.model_implementations.rerankers_custom import BGEReranker

    return BGEReranker(RERANKER)


def loader(**columns: list[str]) -> Any:
    from datasets import Dataset
    from torch.utils.data import DataLoader

    return DataLoader(Dataset.from_dict(columns), batch_size=2)


def test_its_scores_are_the_models(reranker):
    assert type(reranker.model) is bge_fast.FlagReranker
    sides = loader(query=QUERIES), loader(text=PASSAGES)
    scores = reranker.predict(*sides, task_metadata=None, hf_split="test", hf_subset="default")
    pairs = list(zip(QUERIES, PASSAGES, strict=True))
    assert scores == bge_fast.FlagReranker(RERANKER).compute_score(pairs, normalize=True)
