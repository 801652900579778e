"""OpenAI's routes give the model's own vectors, for texts and for token ids."""

import base64

import numpy as np
import pytest

TEXTS = ["a wing in a slipstream", "Flügel, 12 %", "", "heat transfer " * 300]


def vectors(answer):
    assert answer.status_code == 200, answer.text
    return np.array([one["embedding"] for one in answer.json()["data"]], np.float32)


def refused(answer, status):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


def test_vectors_are_the_models_own_to_the_bit(client, models):
    answer = client.post("/v1/embeddings", {"model": "tiny-bert", "input": TEXTS})
    assert (vectors(answer) == models["tiny-bert"].encode(TEXTS)).all()
    body = answer.json()
    assert (body["object"], body["model"]) == ("list", "tiny-bert")
    assert [(one["object"], one["index"]) for one in body["data"]] == [("embedding", place) for place in range(4)]


def test_one_text(client, models):
    answer = client.post("/v1/embeddings", {"model": "tiny-bert", "input": TEXTS[0]})
    assert (vectors(answer) == models["tiny-bert"].encode(TEXTS[:1])).all()


def test_base64_is_little_endian_float32(client, models):
    body = {"model": "tiny-bert", "input": TEXTS, "encoding_format": "base64"}
    rows = [base64.b64decode(one["embedding"]) for one in client.post("/v1/embeddings", body).json()["data"]]
    assert (np.stack([np.frombuffer(row, "<f4") for row in rows]) == models["tiny-bert"].encode(TEXTS)).all()


def test_usage_counts_what_was_run(client, models):
    usage = client.post("/v1/embeddings", {"model": "tiny-bert", "input": TEXTS}).json()["usage"]
    model = models["tiny-bert"]
    limit = min(model.passage_max_length, model.tokenizer.model_max_length)
    counts = [min(count, limit) for count in model.tokenizer.count_tokens(TEXTS)]
    assert usage == {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    assert counts[3] == limit, "the last text is cut"


@pytest.mark.parametrize("name", ["tiny-bert", "BAAI/tiny-m3"])
def test_dimensions_are_truncate_dim(client, models, name):
    answer = client.post("/v1/embeddings", {"model": name, "input": TEXTS, "dimensions": 8})
    shorter = models[name].with_options(truncate_dim=8)
    wanted = shorter.encode(TEXTS) if name == "tiny-bert" else shorter.encode(TEXTS)["dense_vecs"]
    assert (vectors(answer) == wanted).all()
    assert np.linalg.norm(vectors(answer), axis=1) == pytest.approx(1, abs=1e-6)


def test_more_dimensions_than_there_are(client):
    error = refused(client.post("/v1/embeddings", {"model": "tiny-bert", "input": "x", "dimensions": 33}), 422)
    assert error["param"] == "dimensions"
    assert "have 32" in error["message"]


@pytest.mark.parametrize("name", ["tiny-bert", "BAAI/tiny-m3"])
@pytest.mark.parametrize("special", [True, False])
def test_token_ids_of_its_own_vocabulary(client, models, name, special):
    tokenizer = models[name].tokenizer
    ids = [tokenizer.encode(text, add_special_tokens=special) for text in TEXTS[:2]]
    found = vectors(client.post("/v1/embeddings", {"model": name, "input": ids}))
    assert (found == vectors(client.post("/v1/embeddings", {"model": name, "input": TEXTS[:2]}))).all()
    one = vectors(client.post("/v1/embeddings", {"model": name, "input": ids[0]}))
    assert (one == found[:1]).all()


@pytest.mark.parametrize("ids", [[5, 100257], [-1], [[2, 7, 9], [10**30]]])
def test_ids_that_no_token_has(client, ids):
    error = refused(client.post("/v1/embeddings", {"model": "tiny-bert", "input": ids}), 422)
    assert "id" in error["message"]


def test_ids_that_its_tokenizer_does_not_make(client, models):
    tokenizer = models["tiny-bert"].tokenizer
    pieces = [id for token, id in tokenizer.get_vocab().items() if token.startswith("##")][:3]
    error = refused(client.post("/v1/embeddings", {"model": "tiny-bert", "input": pieces}), 422)
    assert "check_embedding_ctx_length=False" in error["message"]


def test_queries_get_their_instruction(client, models):
    body = {"model": "tiny-bert", "input": TEXTS, "input_type": "query"}
    assert (vectors(client.post("/v1/embeddings", body)) == models["tiny-bert"].encode_queries(TEXTS)).all()
    assert refused(client.post("/v1/embeddings", {**body, "input_type": "poem"}), 422)["param"] == "input_type"


def test_the_first_embedder_answers_where_no_model_is_named(client):
    assert client.post("/v1/embeddings", {"input": "x"}).json()["model"] == "tiny-bert"


@pytest.mark.parametrize("name", ["tiny-m3", "BAAI/tiny-m3"])
def test_the_last_part_of_a_name_is_enough(client, name):
    assert client.post("/v1/embeddings", {"model": name, "input": "x"}).json()["model"] == "BAAI/tiny-m3"


def test_unknown_models_and_those_of_another_kind(client):
    error = refused(client.post("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}), 404)
    assert error["code"] == "model_not_found"
    assert "tiny-bert (embedder)" in error["message"]
    assert (
        "reranker" in refused(client.post("/v1/embeddings", {"model": "tiny-reranker", "input": "x"}), 422)["message"]
    )


@pytest.mark.parametrize("given", [[], ["a", 1], ["a", [1]], [["a"]], 7, None, {"text": "a"}])
def test_what_is_no_input(client, given):
    assert refused(client.post("/v1/embeddings", {"model": "tiny-bert", "input": given}), 422)["message"]


def test_an_unknown_format(client):
    body = {"model": "tiny-bert", "input": "x", "encoding_format": "int8"}
    assert refused(client.post("/v1/embeddings", body), 422)["param"] == "encoding_format"


def test_models_are_listed(client):
    listing = client.get("/v1/models").json()
    assert [one["id"] for one in listing["data"]] == ["tiny-bert", "BAAI/tiny-m3", "tiny-reranker"]
    assert client.get("/v1/models/BAAI/tiny-m3").json() == listing["data"][1]
    assert refused(client.get("/v1/models/another"), 404)["code"] == "model_not_found"
