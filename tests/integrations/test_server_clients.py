"""Clients of others against the server: OpenAI's package, LangChain's embeddings, Cohere's calls, FastAPI; and its page of the manual."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient
from langchain_openai import OpenAIEmbeddings

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from bge_fast.server import Limits, create_app
from bge_fast.server.running import bound
from tests.support.checkpoints import checkpoint
from tests.test_docs import blocks

TEXTS = ["a wing in a slipstream", "heat transfer", "boundary layer " * 20]


@pytest.fixture(autouse=True)
def no_network() -> None:
    """Not closed off here: the server listens on the loopback."""


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {
        "tiny-bert": FlagModel(str(checkpoint("tiny-bert"))),
        "tiny-m3": BGEM3FlagModel(str(checkpoint("tiny-m3"))),
        "tiny-reranker-bert": FlagReranker(str(checkpoint("tiny-reranker-bert"))),
    }


@pytest.fixture(scope="module")
def url(models: dict[str, Any]) -> Iterator[str]:
    """A server in a thread of this process."""
    import uvicorn

    with bound("127.0.0.1", 0) as address:
        app = create_app(models, Limits(max_batch=100))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=([address],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{address.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openai_gets_the_models_own_vectors(client, models):
    for more in ({}, {"encoding_format": "float"}):
        answer = client.embeddings.create(model="tiny-bert", input=TEXTS, **more)
        assert (np.array([one.embedding for one in answer.data], np.float32) == models["tiny-bert"].encode(TEXTS)).all()
    assert answer.usage.prompt_tokens == sum(models["tiny-bert"].tokenizer.count_tokens(TEXTS))


def test_openai_with_dimensions_and_ids(client, models):
    ids = [models["tiny-bert"].tokenizer.encode(text) for text in TEXTS]
    answer = client.embeddings.create(model="tiny-bert", input=ids, dimensions=8)
    wanted = models["tiny-bert"].with_options(truncate_dim=8).encode(TEXTS)
    assert (np.array([one.embedding for one in answer.data], np.float32) == wanted).all()


def test_openai_lists_models(client):
    assert [one.id for one in client.models.list()] == ["tiny-bert", "tiny-m3", "tiny-reranker-bert"]
    assert client.models.retrieve("tiny-m3").id == "tiny-m3"


def test_openai_raises_what_it_has_for_each_refusal(client):
    with pytest.raises(openai.NotFoundError, match="tiny-bert"):
        client.embeddings.create(model="text-embedding-3-small", input="x")
    with pytest.raises(openai.UnprocessableEntityError, match="empty"):
        client.embeddings.create(model="tiny-bert", input=[])
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model="tiny-bert", input=["x"] * 101)
    assert refused.value.status_code == 413


def test_langchain(url, models):
    embeddings = OpenAIEmbeddings(
        model="tiny-m3", base_url=f"{url}/v1", api_key="none", check_embedding_ctx_length=False
    )
    wanted = models["tiny-m3"].encode(TEXTS)["dense_vecs"]
    assert (np.array(embeddings.embed_documents(TEXTS), np.float32) == wanted).all()
    assert (np.array(embeddings.embed_query(TEXTS[0]), np.float32) == wanted[0]).all()


def test_calls_as_coheres_client_makes_them(url, models):
    body = {"model": "tiny-reranker-bert", "query": "heat", "documents": TEXTS, "top_n": 2}
    results = httpx.post(f"{url}/v2/rerank", json=body).json()["results"]
    best = models["tiny-reranker-bert"].rank("heat", TEXTS, 2, normalize=True)
    assert [(one["index"], one["relevance_score"]) for one in results] == [tuple(one) for one in best]


def test_the_page_of_the_manual(url, models):
    samples = "\n".join(sample for language, sample in blocks("server") if language == "python")
    for name in models:
        samples = samples.replace(f'"{checkpoint(name)}", ', f'"{name}", ')
    names: dict[str, Any] = {}
    exec(compile(samples.replace("http://127.0.0.1:8000", url), "docs/server.md", "exec"), names)
    with TestClient(names["app"]) as program:
        vectors = names["model"].encode(TEXTS)
        assert program.post("/similarities", json=TEXTS).json() == (vectors @ vectors.T).tolist()
        assert program.post("/query", params={"text": "heat"}).json() == vectors_of(names["model"], "heat")
        assert program.post("/models/embed", json={"inputs": TEXTS}).json() == vectors.tolist()
        refused = program.post("/models/v1/embeddings", json={"model": "gone", "input": "x"})
        assert refused.json()["error"]["code"] == "model_not_found"


def vectors_of(model: FlagModel, text: str) -> list[float]:
    return model.encode_queries(text).tolist()
