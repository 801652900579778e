"""BERTopic and KeyBERT, which look at the type of an embedder, on `BGEModule`."""

import numpy as np
import pytest

real = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed: make test-kits")

from bge_fast import FlagModel  # noqa: E402
from bge_fast.integrations.sentence_transformers import BGEModule, SentenceTransformer  # noqa: E402
from tests.support.checkpoints import checkpoint  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]
WORDS = ("lift", "drag", "heat flow", "slip flow", "shock waves", "flutter")
TEXTS = [f"{WORDS[place % 6]} of body {place} in a {WORDS[place % 5]} field" for place in range(60)]


@pytest.fixture(scope="module")
def model() -> FlagModel:
    return FlagModel(str(checkpoint("tiny-bert")))


@pytest.fixture(scope="module")
def embedder(model: FlagModel):
    return real.SentenceTransformer(modules=[BGEModule(model)], device="cpu")


def test_bertopic_embeds_with_it(model: FlagModel, embedder) -> None:
    backend = pytest.importorskip("bertopic.backend._utils", reason="bertopic is not installed: make test-kits")
    chosen = backend.select_backend(embedder)
    np.testing.assert_array_equal(chosen.embed_documents(TEXTS), model.encode(TEXTS))


def test_bertopic_finds_topics(embedder) -> None:
    bertopic = pytest.importorskip("bertopic", reason="bertopic is not installed: make test-kits")
    topics, _ = bertopic.BERTopic(embedding_model=embedder, min_topic_size=5).fit_transform(TEXTS)
    assert len(topics) == len(TEXTS)


def test_keybert_finds_words(model: FlagModel, embedder) -> None:
    keybert = pytest.importorskip("keybert", reason="keybert is not installed: make test-kits")
    found = keybert.KeyBERT(embedder).extract_keywords(TEXTS[3], top_n=2)
    assert len(found) == 2
    document, word = model.encode([TEXTS[3], found[0][0]])
    assert found[0][1] == pytest.approx(float(document @ word), abs=1e-3)


def test_a_look_alike_is_not_taken_for_a_real_one_in_silence(model: FlagModel) -> None:
    """BERTopic takes another model where it knows no type; a name with sentence_transformers in it makes it try."""
    backend = pytest.importorskip("bertopic.backend._utils", reason="bertopic is not installed: make test-kits")
    with pytest.raises(Exception, match="SentenceTransformer"):
        backend.select_backend(SentenceTransformer(model)).embed_documents(TEXTS)
