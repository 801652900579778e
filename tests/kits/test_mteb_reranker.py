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


def test_its_list_compares_the_version_that_is_installed(tmp_path, monkeypatch):
    """`get_model` reads the metadata of FlagEmbedding, which the import leaves alone, and then imports these classes."""
    monkeypatch.setattr("FlagEmbedding.FlagReranker", lambda name, use_fp16: bge_fast.FlagReranker(RERANKER))
    with pytest.raises(ImportError, match=r"missing required dependencies: FlagEmbedding==1\.3\.4"):
        mteb.get_model("BAAI/bge-reranker-v2-m3")
    metadata = tmp_path / "FlagEmbedding-1.3.4.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: FlagEmbedding\nVersion: 1.3.4\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(mteb.get_model("BAAI/bge-reranker-v2-m3").model) is bge_fast.FlagReranker
