"""The look-alikes of sentence-transformers, without it and without torch. Against the real classes: tests/kits."""

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagLLMModel, FlagLLMReranker, FlagModel, FlagReranker
from bge_fast.integrations.sentence_transformers import CrossEncoder, SentenceTransformer
from tests.support.checkpoints import checkpoint, edit_json

TEXTS = ["a wing of the plane in flow", "", "heat", "wing wing the wing of a wing"]
PAIRS = [("wing", "the wing of the plane"), ("heat", "flow"), ("wing", "heat")]


@pytest.fixture(scope="module")
def model() -> FlagModel:
    return FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval="Find: ")


@pytest.fixture(scope="module")
def reranker() -> FlagReranker:
    return FlagReranker(str(checkpoint("tiny-reranker-bert")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint("tiny-bert"), tmp_path / "model")


def same(one: object, other: object) -> None:
    np.testing.assert_array_equal(one, other)


# ── SentenceTransformer ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_open_model_gives_its_own_numbers(model: FlagModel) -> None:
    look = SentenceTransformer(model)
    same(look.encode(TEXTS), model.encode(TEXTS))
    same(look.encode(sentences=TEXTS, batch_size=2), model.encode(TEXTS, batch_size=2))
    same(look.encode_query(TEXTS), model.encode_queries(TEXTS))
    same(look.encode_document(iter(TEXTS)), model.encode_corpus(TEXTS))
    same(look.encode("heat"), model.encode("heat"))
    assert look.encode([]).shape == (0, 32)
    assert look.encode("heat").shape == (32,)


def test_a_prompt_takes_the_place_of_the_models_instruction(model: FlagModel) -> None:
    look = SentenceTransformer(model, prompts={"query": "q: ", "passage": "p: "}, default_prompt_name="passage")
    same(look.encode_query("heat"), model.encode("q: heat"))
    same(look.encode_query("heat", prompt="x: "), model.encode("x: heat"))
    same(look.encode("heat"), model.encode("p: heat"))
    same(look.encode("heat", prompt=""), model.encode("heat"))
    same(look.encode_document("heat"), model.encode("heat"))  # "document", which is empty, comes before "passage"
    with pytest.raises(ValueError, match="there is no prompt 'title', only 'query', 'document', 'passage'"):
        look.encode("heat", prompt_name="title")
    with pytest.raises(ValueError, match="no prompt 'other'"):
        SentenceTransformer(model, default_prompt_name="other")


def test_a_name_is_opened_as_its_files_say(folder: Path) -> None:
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    config = {"prompts": {"query": "q: "}, "similarity_fn_name": "dot"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    look = SentenceTransformer(str(folder))
    mean = FlagModel(str(folder), pooling_method="mean", normalize_embeddings=False)
    same(look.encode(TEXTS), mean.encode(TEXTS, max_length=5))
    same(look.encode_query("heat"), mean.encode("q: heat", max_length=5))
    assert (look.max_seq_length, look.similarity_fn_name) == (5, "dot")
    look.max_seq_length = 9999
    assert look.max_seq_length == 512
    same(look.encode(TEXTS), mean.encode(TEXTS))
    np.testing.assert_allclose(np.linalg.norm(look.encode(TEXTS, normalize_embeddings=True), axis=1), 1, rtol=1e-6)


def test_files_that_are_no_settings_are_named(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"config_sentence_transformers.json holds a list, not a dict"):
        SentenceTransformer(str(folder))
    (folder / "config_sentence_transformers.json").write_text("{")
    with pytest.raises(ValueError, match=r"config_sentence_transformers.json is not JSON"):
        SentenceTransformer(str(folder))


def test_prompts_that_are_not_pooled_are_refused(folder: Path) -> None:
    edit_json(folder / "1_Pooling" / "config.json", include_prompt=False)
    look = SentenceTransformer(str(folder))
    assert look.encode("heat").shape == (32,)
    with pytest.raises(ValueError, match="include_prompt"):
        look.encode("heat", prompt="q: ")


def test_fewer_components(model: FlagModel) -> None:
    look = SentenceTransformer(model, truncate_dim=8)
    same(look.encode(TEXTS), model.encode(TEXTS)[:, :8])
    assert look.encode(TEXTS, truncate_dim=4).shape == (4, 4)
    assert look.get_embedding_dimension() == look.get_sentence_embedding_dimension() == 8


def test_of_m3_the_dense_vectors() -> None:
    m3 = BGEM3FlagModel(str(checkpoint("tiny-m3")), return_sparse=True)
    same(SentenceTransformer(m3).encode_query(TEXTS), m3.encode(TEXTS)["dense_vecs"])
    np.testing.assert_allclose(
        SentenceTransformer(str(checkpoint("tiny-m3"))).encode(TEXTS), m3.encode(TEXTS)["dense_vecs"], atol=1e-6
    )


def test_int8_and_decoders() -> None:
    eight = {"precision": "int8"}
    look = SentenceTransformer(str(checkpoint("tiny-bert")), **eight)
    same(look.encode(TEXTS), FlagModel(str(checkpoint("tiny-bert")), **eight).encode(TEXTS))
    name = str(checkpoint("decoder-qwen2"))
    decoder = FlagLLMModel(name, normalize_embeddings=False)
    same(SentenceTransformer(name, model_class="decoder-only-base").encode(TEXTS), decoder.encode(TEXTS))
    scorer = FlagLLMReranker(str(checkpoint("decoder-reranker-gemma")))
    scores = CrossEncoder(scorer, activation_fn=lambda logits: logits).predict(PAIRS)
    same(scores, np.float32(scorer.compute_score(PAIRS)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_value": "token_embeddings"}, "output_value='token_embeddings' is not supported"),
        ({"device": "cuda:1"}, "open it with device="),
        ({"pool": {}}, "several processes"),
        ({"languages": "en"}, "'languages' is no argument"),
    ],
)
def test_what_a_call_cannot_do_is_an_error(model: FlagModel, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentenceTransformer(model).encode(TEXTS, **options)


def test_constructor_arguments_that_would_change_the_result() -> None:
    name = str(checkpoint("tiny-bert"))
    for option, remedy in (("revision", "download that revision"), ("model_kwargs", "precision=")):
        with pytest.raises(TypeError, match=f"{option}= is not for bge-fast: .*{remedy}"):
            SentenceTransformer(name, **{option: {"a": 1}})
    assert SentenceTransformer(name, backend="torch", revision=None).device == "cpu"
    with pytest.raises(ValueError, match="similarity_fn_name='maxsim' is not one of 'cosine'"):
        SentenceTransformer(name, similarity_fn_name="maxsim")


def test_tensors_need_torch(model: FlagModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for options in ({"convert_to_tensor": True}, {"convert_to_numpy": False}):
        with pytest.raises(ImportError, match="pip install torch"):
            SentenceTransformer(model).encode(TEXTS, **options)


def test_similarities(model: FlagModel) -> None:
    one, other = np.array([[3, 4], [1, 0]]), np.array([[0, 2], [1, 1]])
    wanted = {
        "cosine": [[0.8, 1.4 / 2**0.5], [0, 1 / 2**0.5]],
        "dot": [[8, 7], [0, 1]],
        "euclidean": [[-(13**0.5), -(13**0.5)], [-(5**0.5), -1]],
        "manhattan": [[-5, -5], [-3, -1]],
    }
    for name, scores in wanted.items():
        look = SentenceTransformer(model, similarity_fn_name=name)
        np.testing.assert_allclose(look.similarity(one, other), scores, rtol=1e-6)
        np.testing.assert_allclose(look.similarity_pairwise(one, other), np.diag(scores), rtol=1e-6)
    assert look.similarity(one[0], other).shape == (1, 2)


# ── CrossEncoder ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_scores_are_the_models_through_the_logistic_function(reranker: FlagReranker) -> None:
    look = CrossEncoder(reranker)
    logits = np.float32(reranker.compute_score(PAIRS))
    np.testing.assert_allclose(look.predict(PAIRS), 1 / (1 + np.exp(-logits)), rtol=1e-6)
    same(look.predict(PAIRS, activation_fn=lambda scores: scores), logits)
    same(look.predict(sentences=[list(pair) for pair in PAIRS]), look.predict(PAIRS))
    assert look.predict(PAIRS[0]) == pytest.approx(look.predict(PAIRS)[0])
    assert look.predict([]).shape == (0,)


def test_documents_are_ranked(reranker: FlagReranker) -> None:
    look = CrossEncoder(reranker)
    ranked = look.rank("wing", TEXTS, return_documents=True)
    scores = look.predict([("wing", text) for text in TEXTS]).tolist()
    assert [hit["score"] for hit in ranked] == sorted(scores, reverse=True)
    assert all(hit["text"] == TEXTS[hit["corpus_id"]] and hit["score"] == scores[hit["corpus_id"]] for hit in ranked)
    assert look.rank("wing", iter(TEXTS), top_k=1) == [{"corpus_id": ranked[0]["corpus_id"], "score": max(scores)}]
    assert look.rank("wing", []) == []
    equal = look.rank("wing", ["b", "a", "b"], activation_fn=np.zeros_like)
    assert [hit["corpus_id"] for hit in equal] == [0, 1, 2]


def test_the_checkpoint_may_name_another_activation(tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint("tiny-reranker-bert"), tmp_path / "model")
    edit_json(folder / "config.json", sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"})
    look = CrossEncoder(str(folder))
    same(look.predict(PAIRS), np.float32(FlagReranker(str(folder)).compute_score(PAIRS)))
    edit_json(folder / "config.json", sentence_transformers={"activation_fn": "torch.nn.Tanh"})
    with pytest.raises(ValueError, match="names the activation 'torch.nn.Tanh'; pass activation_fn="):
        CrossEncoder(str(folder))


def test_what_a_cross_encoder_does_not_take(reranker: FlagReranker) -> None:
    with pytest.raises(TypeError, match="num_labels=3"):
        CrossEncoder(reranker, num_labels=3)
    with pytest.raises(ValueError, match="prompts are not supported"):
        CrossEncoder(reranker).predict(PAIRS, prompt="q: ")
    with pytest.raises(TypeError, match="FlagModel"):
        CrossEncoder(FlagModel(str(checkpoint("tiny-bert"))))


# ── both ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_copies_by_pickle_and_many_threads(model: FlagModel, reranker: FlagReranker) -> None:
    look, cross = SentenceTransformer(model), CrossEncoder(reranker)
    same(pickle.loads(pickle.dumps(look)).encode(TEXTS), look.encode(TEXTS))
    same(pickle.loads(pickle.dumps(cross)).predict(PAIRS), cross.predict(PAIRS))
    with ThreadPoolExecutor(8) as pool:
        for vectors in pool.map(look.encode, [TEXTS] * 32):
            np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-6)


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; from bge_fast.integrations.sentence_transformers import SentenceTransformer as S\n"
        f"S({str(checkpoint('tiny-bert'))!r}).encode('heat')\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
