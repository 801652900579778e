"""Reranking in the forms of text-embeddings-inference, Cohere and Jina."""

import pytest

QUERY = "heat transfer"
TEXTS = ["a wing", "heat transfer in slip flow", "boundary layer", "heat"]


@pytest.fixture
def ranked(models):
    def ranked(**options):
        return models["tiny-reranker"].rank(QUERY, TEXTS, **options)

    return ranked


def content(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("raw", [True, False])
def test_texts(client, ranked, raw):
    found = content(client.post("/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": raw}))
    assert found == [{"index": one.position, "score": one.score} for one in ranked(normalize=not raw)]


def test_texts_come_back(client):
    found = content(client.post("/rerank", {"query": QUERY, "texts": TEXTS, "return_text": True}))
    assert [one["text"] for one in found] == [TEXTS[one["index"]] for one in found]


@pytest.mark.parametrize("route", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents(client, ranked, route):
    body = {"model": "tiny-reranker", "query": QUERY, "documents": TEXTS, "top_n": 2}
    found = content(client.post(route, body))
    wanted = [{"index": one.position, "relevance_score": one.score} for one in ranked(normalize=True, top_k=2)]
    assert found["results"] == wanted
    assert found["id"]
    assert found["model"] == "tiny-reranker"


def test_documents_as_objects(client):
    body = {"query": QUERY, "documents": [{"text": text, "title": "x"} for text in TEXTS], "return_documents": True}
    found = content(client.post("/v1/rerank", body))["results"]
    assert [one["document"]["text"] for one in found] == [TEXTS[one["index"]] for one in found]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "either texts or documents"),
        ({"texts": TEXTS, "documents": TEXTS}, "either texts or documents"),
        ({"texts": []}, "texts is empty"),
        ({"documents": [{"title": "x"}]}, "documents[0]"),
        ({"documents": TEXTS, "top_n": 0}, "$.top_n"),
        ({"documents": TEXTS, "model": "tiny-bert"}, "tiny-bert is no reranker"),
    ],
)
def test_what_is_refused(client, body, why):
    answer = client.post("/v1/rerank", {"query": QUERY, **body})
    assert answer.status_code == 422
    assert why in answer.json()["error"]["message"]


def test_long_pairs_are_cut_unless_that_is_refused(client):
    body = {"query": QUERY, "texts": ["wing", "wing " * 600]}
    assert len(content(client.post("/rerank", body))) == 2
    answer = client.post("/rerank", {**body, "truncate": False})
    assert answer.status_code == 413
    assert "texts[1]" in answer.json()["error"]
