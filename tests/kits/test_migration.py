"""What docs/migrate.md puts in place of calls of sentence-transformers gives the same numbers."""

import shutil
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.search import top_k
from tests.support.checkpoints import checkpoint

theirs = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed: make test-kits")
pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = ["boundary layer of wings", "heat transfer in flow", "wing", "shock waves"]
QUERY = "flow of heat"
FOLDER, RERANKER = str(checkpoint("tiny-bert")), str(checkpoint("tiny-reranker-bert"))


def near(one: Any, other: Any) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-5)


@pytest.mark.parametrize(
    ("left_out", "options"),
    [((), {}), (("modules.json", "1_Pooling"), {"pooling_method": "mean", "normalize_embeddings": False})],
    ids=["CLS, normalized", "mean, not normalized"],
)
def test_embedders(tmp_path, left_out, options):
    """Without `modules.json` it takes the mean of all tokens."""
    folder = str(shutil.copytree(FOLDER, tmp_path / "model", ignore=shutil.ignore_patterns(*left_out)))
    transformer = theirs.SentenceTransformer(folder, prompts={"query": "find: "}, device="cpu")
    model = FlagModel(folder, query_instruction_for_retrieval="find: ", **options)
    near(model.encode(TEXTS), transformer.encode(TEXTS))
    near(model.encode_queries(QUERY), transformer.encode_query(QUERY))
    near(model.encode_corpus(TEXTS), transformer.encode_document(TEXTS))
    near(model.encode(TEXTS, instruction="to: "), transformer.encode(TEXTS, prompt="to: "))
    scaled = options.get("normalize_embeddings", True)
    cut = transformer.encode(TEXTS, truncate_dim=8, normalize_embeddings=scaled)
    near(FlagModel(folder, truncate_dim=8, **options).encode(TEXTS), cut)


def test_similarity_and_semantic_search():
    model = FlagModel(FOLDER)
    query, vectors = model.encode([QUERY]), model.encode(TEXTS)
    near(query @ vectors.T, theirs.SentenceTransformer(FOLDER, device="cpu").similarity(query, vectors))
    from sentence_transformers.util import semantic_search

    (hits,) = semantic_search(query, vectors, top_k=3)
    scores, places = top_k(query, vectors, 3)
    assert [hit["corpus_id"] for hit in hits] == places[0].tolist()
    near(scores[0], [hit["score"] for hit in hits])


def test_cross_encoders():
    encoder, reranker = theirs.CrossEncoder(RERANKER, device="cpu"), FlagReranker(RERANKER, normalize=True)
    near(reranker.compute_score([(QUERY, text) for text in TEXTS]), encoder.predict([(QUERY, text) for text in TEXTS]))
    ranked = encoder.rank(QUERY, TEXTS)
    assert [one["corpus_id"] for one in ranked] == [place for place, _ in reranker.rank(QUERY, TEXTS)]
