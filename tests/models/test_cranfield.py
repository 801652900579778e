"""Retrieval quality with real weights on the Cranfield collection, as measured with FlagEmbedding."""

import pytest

from bge_fast import FlagModel
from tests.benchmarks import cranfield
from tests.support.checkpoints import checkpoint


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ndcg_is_flagembeddings():
    folder = checkpoint("bge-small-en-v1.5")
    if not cranfield.is_there():
        pytest.skip("the Cranfield collection is not on this machine")
    collection = cranfield.load()
    assert (len(collection.passages), len(collection.queries)) == (1400, 225)
    model = FlagModel(
        str(folder),
        use_fp16=False,
        devices="cpu",
        query_instruction_for_retrieval="Represent this sentence for searching relevant passages: ",
    )
    queries, passages = model.encode_queries(collection.queries), model.encode_corpus(collection.passages)
    assert cranfield.ndcg_at_10(queries, passages) == pytest.approx(0.4128, abs=0.0002)
