"""`BGEBatch` as Ray Data calls it, without Ray. On Ray's own actors: tests/kits."""

import pickle

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from bge_fast.integrations.ray import BGEBatch
from tests.support.checkpoints import checkpoint

TEXTS = ["a wing of the plane in flow", "", "heat", "wing wing the wing of a wing"]


@pytest.fixture(scope="module")
def model() -> FlagModel:
    return FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval="Find: ")


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """As Ray makes it: strings are objects, numbers cannot be written to."""
    numbers = np.arange(len(TEXTS))
    numbers.flags.writeable = False
    return {"text": np.array(TEXTS, object), "id": numbers}


def test_dense_vectors_are_a_further_column(model: FlagModel, batch: dict) -> None:
    before = dict(batch)
    found = BGEBatch(model)(batch)
    assert list(found) == ["text", "id", "embedding"]
    np.testing.assert_array_equal(found["embedding"], model.encode_corpus(TEXTS))
    queries = BGEBatch(model, query=True, output="vector")(batch)
    np.testing.assert_array_equal(queries["vector"], model.encode_queries(TEXTS))
    assert batch == before


def test_m3_gives_ragged_columns(batch: dict) -> None:
    m3 = BGEM3FlagModel(str(checkpoint("tiny-m3")))
    found = BGEBatch(m3, kind="m3", colbert=True)(batch)
    wanted = m3.encode_vectors(TEXTS, colbert=True)
    np.testing.assert_array_equal(found["embedding"], wanted.dense)
    for place, (ids, weights) in enumerate(wanted.sparse):
        np.testing.assert_array_equal(found["embedding_ids"][place], ids)
        np.testing.assert_array_equal(found["embedding_weights"][place], weights)
        np.testing.assert_array_equal(found["embedding_vectors"][place], wanted.colbert[place])
    assert "embedding_vectors" not in BGEBatch(m3, kind="m3")(batch)


def test_texts_of_one_length_are_ragged_too() -> None:
    found = BGEBatch(str(checkpoint("tiny-m3")), kind="m3", colbert=True)({"text": np.array(["heat"] * 3, object)})
    assert found["embedding_vectors"].shape == found["embedding_ids"].shape == (3,)


def test_pairs_are_scored(batch: dict) -> None:
    reranker = FlagReranker(str(checkpoint("tiny-reranker-bert")))
    rows = {**batch, "query": np.array(["wing"] * 4, object)}
    found = BGEBatch(reranker, kind="rerank", column=("query", "text"))(rows)
    assert found["score"].tolist() == reranker.compute_score([("wing", text) for text in TEXTS])
    empty = {name: values[:0] for name, values in rows.items()}
    assert BGEBatch(reranker, kind="rerank", column=("query", "text"))(empty)["score"].shape == (0,)


def test_a_missing_text_is_named_or_dropped(model: FlagModel, batch: dict) -> None:
    batch["text"][2] = None
    with pytest.raises(ValueError, match=r'row 2 of the batch has no text .*missing="skip"'):
        BGEBatch(model)(batch)
    found = BGEBatch(model, missing="skip")(batch)
    assert found["id"].tolist() == [0, 1, 3]
    np.testing.assert_array_equal(found["embedding"], model.encode_corpus([TEXTS[0], TEXTS[1], TEXTS[3]]))


def test_no_rows(model: FlagModel, batch: dict) -> None:
    assert BGEBatch(model)({name: values[:0] for name, values in batch.items()})["embedding"].shape == (0, 32)


def test_mistakes_are_told(model: FlagModel, batch: dict) -> None:
    with pytest.raises(ValueError, match="kind='sparse' is not one of 'dense', 'm3', 'rerank'"):
        BGEBatch(model, kind="sparse")
    with pytest.raises(ValueError, match="missing='drop'"):
        BGEBatch(model, missing="drop")
    with pytest.raises(ValueError, match=r"kind='rerank' takes 2 column\(s\)"):
        BGEBatch(model, kind="rerank")
    with pytest.raises(KeyError, match="no column 'body', only 'text', 'id'"):
        BGEBatch(model, column="body")(batch)


def test_an_actor_gets_a_name_not_weights(model: FlagModel, batch: dict) -> None:
    sent = pickle.dumps(BGEBatch(model))
    assert len(sent) < 2000
    np.testing.assert_array_equal(pickle.loads(sent)(batch)["embedding"], model.encode_corpus(TEXTS))
