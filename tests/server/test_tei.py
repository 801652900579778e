"""The routes of text-embeddings-inference give the models' own numbers."""

import numpy as np
import pytest

TEXTS = ["a wing in a slipstream", "边界层", "heat transfer " * 300]


def content(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "error_type"}
    return answer.json()


def test_embed(client, models):
    found = content(client.post("/embed", {"inputs": TEXTS}))
    assert (np.array(found, np.float32) == models["tiny-bert"].encode(TEXTS)).all()
    assert content(client.post("/embed", {"inputs": TEXTS[0]})) == found[:1]


def test_embed_without_normalizing_and_with_fewer_dimensions(client, models):
    model = models["tiny-bert"]
    plain = content(client.post("/embed", {"inputs": TEXTS, "normalize": False}))
    assert (np.array(plain, np.float32) == model.with_options(normalize_embeddings=False).encode(TEXTS)).all()
    fewer = content(client.post("/embed", {"inputs": TEXTS, "dimensions": 4}))
    assert (np.array(fewer, np.float32) == model.with_options(truncate_dim=4).encode(TEXTS)).all()


def test_prompt_names(client, models):
    found = content(client.post("/embed", {"inputs": TEXTS, "prompt_name": "query"}))
    assert (np.array(found, np.float32) == models["tiny-bert"].encode_queries(TEXTS)).all()
    assert "poem" in refused(client.post("/embed", {"inputs": TEXTS, "prompt_name": "poem"}), 422)["error"]


def test_a_long_text_is_cut_unless_that_is_refused(client):
    assert content(client.post("/embed", {"inputs": TEXTS, "truncate": True}))
    error = refused(client.post("/embed", {"inputs": TEXTS, "truncate": False}), 413)
    assert "texts[2] has" in error["error"]
    assert error["error_type"] == "validation"


def test_the_model_of_the_address(client, models):
    found = content(client.post("/embed?model=tiny-m3", {"inputs": TEXTS}))
    assert (np.array(found, np.float32) == models["BAAI/tiny-m3"].encode(TEXTS)["dense_vecs"]).all()
    assert "no model" in refused(client.post("/embed?model=gone", {"inputs": TEXTS}), 404)["error"]


def test_embed_sparse(client, models):
    found = content(client.post("/embed_sparse", {"inputs": TEXTS}))
    wanted = models["BAAI/tiny-m3"].encode(TEXTS, return_sparse=True)["lexical_weights"]
    assert [{str(one["index"]): np.float32(one["value"]) for one in row} for row in found] == wanted


def test_embed_all(client, models):
    found = content(client.post("/embed_all", {"inputs": TEXTS}))
    wanted = models["BAAI/tiny-m3"].encode(TEXTS, return_colbert_vecs=True)["colbert_vecs"]
    assert all((np.array(one, np.float32) == row).all() for one, row in zip(found, wanted, strict=True))


def test_embed_all_of_too_many_tokens(client):
    error = refused(client.post("/embed_all", {"inputs": [f"{number} wing" * 300 for number in range(100)]}), 413)
    assert "at most 16384" in error["error"]


@pytest.mark.parametrize("route", ["embed_sparse", "embed_all"])
def test_what_only_m3_has(client, route):
    error = refused(client.post(f"/{route}?model=tiny-bert", {"inputs": "x"}), 422)
    assert "tiny-bert is no BGE-M3 model" in error["error"]


@pytest.mark.parametrize("special", [True, False])
def test_tokenize(client, models, special):
    tokenizer = models["tiny-bert"].tokenizer
    (found,) = content(client.post("/tokenize", {"inputs": TEXTS[0], "add_special_tokens": special}))
    assert [one["id"] for one in found] == tokenizer.encode(TEXTS[0], add_special_tokens=special)
    assert [one["text"] for one in found] == tokenizer.tokenize(TEXTS[0], add_special_tokens=special)
    assert [one["special"] for one in found] == [one["text"] in tokenizer.all_special_tokens for one in found]


def test_info(client):
    info = content(client.get("/info"))
    assert (info["model_id"], info["model_dtype"]) == ("tiny-bert", "float32")
    assert info["model_type"] == {"embedding": {"pooling": "cls", "dimension": 32}}
    assert info["max_client_batch_size"] == 2048
    assert [one["kind"] for one in info["models"]] == ["embedder", "m3", "reranker"]


@pytest.mark.parametrize(("inputs", "where"), [([], "empty"), (["a", 1], "$.inputs[1]"), (None, "$.inputs")])
def test_what_is_no_input(client, inputs, where):
    assert where in refused(client.post("/embed", {"inputs": inputs}), 422)["error"]
