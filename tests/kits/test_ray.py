"""Ray Data on two actors of this machine: the columns that an actor of its own would give."""

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from tests.support.checkpoints import checkpoint

ray = pytest.importorskip("ray", reason="ray is not installed: make test-kits")

from bge_fast.integrations.ray import BGEBatch  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_of_two_cores"),
]
TEXTS = [f"a wing in the flow of body {place}" for place in range(200)]


def run(rows: list[dict], **arguments: object) -> list[dict]:
    encoded = ray.data.from_items(rows, override_num_blocks=4).map_batches(
        BGEBatch,
        batch_size=50,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=2),
        fn_constructor_kwargs={"threads": 1, **arguments},
    )
    return sorted(encoded.take_all(), key=lambda row: row["id"])


def test_two_actors_encode_all_rows() -> None:
    folder = str(checkpoint("tiny-bert"))
    rows = run([{"id": place, "text": text} for place, text in enumerate(TEXTS)], model=folder)
    assert [row["id"] for row in rows] == list(range(200))
    np.testing.assert_array_equal([row["embedding"] for row in rows], FlagModel(folder, threads=1).encode_corpus(TEXTS))


def test_m3s_ragged_columns_come_back() -> None:
    folder = str(checkpoint("tiny-m3"))
    rows = run([{"id": place, "text": text} for place, text in enumerate(TEXTS)], model=folder, kind="m3", colbert=True)
    wanted = BGEM3FlagModel(folder, threads=1).encode_vectors(TEXTS, colbert=True)
    for row, (ids, weights), vectors in zip(rows, wanted.sparse, wanted.colbert, strict=True):
        np.testing.assert_array_equal(row["embedding_ids"], ids)
        np.testing.assert_array_equal(row["embedding_weights"], weights)
        np.testing.assert_array_equal(np.stack(row["embedding_vectors"]), vectors)


def test_pairs_are_scored() -> None:
    folder = str(checkpoint("tiny-reranker-bert"))
    rows = [{"id": place, "query": "wing", "text": text} for place, text in enumerate(TEXTS[:20])]
    found = run(rows, model=folder, kind="rerank", column=["query", "text"])
    assert [row["score"] for row in found] == FlagReranker(folder).compute_score(
        [("wing", text) for text in TEXTS[:20]]
    )
