"""What mteb's batches become: the right side of the model for each kind, without mteb in the process."""

import sys
from enum import Enum

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from bge_fast.integrations.mteb import MtebCrossEncoder, MtebEncoder
from tests.support.checkpoints import checkpoint


class PromptType(Enum):
    QUERY, DOCUMENT = "query", "document"


BATCHES = [{"text": ["lift", "drag"], "id": ["1", "2"]}, {"text": ["heat"]}]
TEXTS = ["lift", "drag", "heat"]


def test_queries_have_their_instruction_and_others_none() -> None:
    model = FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval="Find: ")
    encoder = MtebEncoder(model)
    np.testing.assert_array_equal(encoder.encode(BATCHES, prompt_type=PromptType.QUERY), model.encode_queries(TEXTS))
    np.testing.assert_array_equal(encoder.encode(BATCHES, prompt_type=PromptType.DOCUMENT), model.encode_corpus(TEXTS))
    np.testing.assert_array_equal(encoder.encode(BATCHES, batch_size=2, hf_split="test"), model.encode(TEXTS))
    assert not np.allclose(model.encode_queries(TEXTS), model.encode(TEXTS))


def test_of_m3_the_dense_vectors_are_given() -> None:
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")))
    for kind in (None, "query", "document"):
        np.testing.assert_array_equal(
            MtebEncoder(model).encode(BATCHES, prompt_type=kind), model.encode(TEXTS)["dense_vecs"]
        )


def test_pairs_are_scored() -> None:
    model = FlagReranker(str(checkpoint("tiny-reranker-bert")))
    scores = MtebCrossEncoder(model).predict(BATCHES, [{"text": ["a", "b", "c"]}])
    assert scores.tolist() == pytest.approx(model.compute_score(list(zip(TEXTS, "abc", strict=True))))


def test_without_mteb_its_description_says_what_to_install(bert: FlagModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    monkeypatch.setitem(sys.modules, "mteb.models", None)
    with pytest.raises(ImportError, match="pip install 'mteb>=2'"):
        _ = MtebEncoder(bert).mteb_model_meta
