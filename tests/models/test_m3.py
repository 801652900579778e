"""`BGEM3FlagModel`: dense, lexical and multi-vector output, as the FlagEmbedding contract has it."""

import json
import os
import pickle
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from bge_fast import AbsEmbedder, BGEM3FlagModel, FlagModel, M3Vectors, NumericsError
from bge_fast.errors import ModelFormatError
from tests.support.checkpoints import checkpoint, exported
from tests.support.m3_checkpoints import HEADS, bert_m3, constant_weights, own_m3, with_visible_weights, write_head

ALL = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
KEYS = ["dense_vecs", "lexical_weights", "colbert_vecs"]
TEXTS = [
    "a wing of the plane in supersonic flow",
    "",
    "   ",
    "Der Flügel und die Strömung",
    "机翼在超音速气流中",
    "wing wing the wing of the wing of the wing",
    "x" * 300,
    "boundary layer " * 90,
]


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    """An open tiny M3 that tests share; a test that assigns attributes opens its own."""
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


def opened(**options: Any) -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")), **options)


def assert_same(one: dict[str, Any], other: dict[str, Any], tolerance: float = 5e-6) -> None:
    """Equal results of two calls, up to the last digits."""
    for key in KEYS:
        assert (one[key] is None) == (other[key] is None), key
    if one["dense_vecs"] is not None:
        assert np.abs(one["dense_vecs"] - other["dense_vecs"]).max(initial=0) <= tolerance
    for mine, theirs in zip(one["lexical_weights"] or [], other["lexical_weights"] or [], strict=True):
        assert mine.keys() == theirs.keys()
        assert all(abs(mine[token] - theirs[token]) <= tolerance for token in mine)
    for mine, theirs in zip(one["colbert_vecs"] or [], other["colbert_vecs"] or [], strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max() <= tolerance


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shapes_and_types(m3):
    many, one, none = m3.encode(TEXTS, **ALL), m3.encode(TEXTS[0], **ALL), m3.encode([], **ALL)
    assert [list(result) for result in (many, one, none)] == [KEYS] * 3
    assert (many["dense_vecs"].shape, one["dense_vecs"].shape, none["dense_vecs"].shape) == ((8, 32), (32,), (0, 32))
    assert [type(weights) for weights in many["lexical_weights"]] == [defaultdict] * 8
    assert type(one["lexical_weights"]) is defaultdict
    assert one["lexical_weights"].default_factory is int
    assert (none["lexical_weights"], none["colbert_vecs"]) == ([], [])
    lengths = [len(m3.tokenizer(text)["input_ids"]) for text in TEXTS]
    assert [vectors.shape for vectors in many["colbert_vecs"]] == [(length - 1, 32) for length in lengths]
    assert one["colbert_vecs"].shape == (lengths[0] - 1, 32)
    for array in (many["dense_vecs"], one["dense_vecs"], none["dense_vecs"], *many["colbert_vecs"]):
        assert array.dtype == np.float32
    for vectors in (many["dense_vecs"], *many["colbert_vecs"]):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_empty_string_has_one_vector_and_no_weights(m3):
    result = m3.encode("", **ALL)
    assert result["colbert_vecs"].shape == (1, 32)
    assert result["lexical_weights"] == {}


@pytest.mark.parametrize("wanted", [{}, *[{key: True} for key in ALL], ALL])
def test_what_was_not_asked_for_is_none(m3, wanted):
    asked = {"return_dense": not wanted, "return_sparse": False, "return_colbert_vecs": False, **wanted}
    result = m3.encode(TEXTS, **asked)
    assert list(result) == KEYS
    assert [result[key] is not None for key in KEYS] == list(asked.values())
    full = m3.encode(TEXTS, **ALL)
    assert_same(result, {key: full[key] if result[key] is not None else None for key in KEYS})


def test_what_is_returned_by_default_is_live():
    model = opened(return_dense=False, return_sparse=True)
    assert [value is not None for value in model.encode("wing").values()] == [False, True, False]
    model.return_colbert_vecs, model.return_sparse = 1, False
    assert [value is not None for value in model.encode("wing").values()] == [False, False, True]
    assert model.encode("wing", return_dense=True)["dense_vecs"].shape == (32,)


@pytest.mark.parametrize("batch_size", [1, 5, len(TEXTS), 1000])
def test_results_are_independent_of_batches_and_order(m3, batch_size):
    alone = [m3.encode(text, **ALL) for text in TEXTS]
    wanted = {key: [result[key] for result in alone] for key in KEYS}
    assert_same(m3.encode(TEXTS, batch_size=batch_size, **ALL), wanted)
    turned = m3.encode(TEXTS[::-1], batch_size=batch_size, **ALL)
    assert_same({key: turned[key][::-1] for key in KEYS}, wanted)


def test_results_own_their_memory(m3):
    result, again = m3.encode(TEXTS, **ALL), m3.encode(TEXTS, **ALL)
    for place, vectors in enumerate(result["colbert_vecs"]):
        assert vectors.base is None or vectors.base.nbytes == vectors.nbytes
        vectors[:] = place
    result["dense_vecs"][:] = 7
    result["lexical_weights"][0]["400"] = 9.0
    assert [set(vectors.flat) for vectors in result["colbert_vecs"]] == [{place} for place in range(len(TEXTS))]
    assert_same(again, m3.encode(TEXTS, **ALL))


@pytest.mark.exported
def test_an_exported_folder_gives_the_checkpoints_numbers(m3):
    model = BGEM3FlagModel(str(exported("tiny-m3")))
    assert (model.info()["kind"], model.info()["source"]) == ("m3", "model folder")
    assert model.model.colbert_linear.out_features == 32
    assert_same(model.encode(TEXTS, **ALL), m3.encode(TEXTS, **ALL))
    dense = BGEM3FlagModel(str(exported("tiny-bert")), return_sparse=True)
    assert dense.encode("wing", return_sparse=False)["dense_vecs"].shape == (32,)
    with pytest.raises(ValueError, match="no sparse head"):
        dense.encode("wing")


# ── lexical weights ───────────────────────────────────────────────────────────────────────────────────────────────────


def largest_weights(ids: list[int], weights: np.ndarray, skip: set[int]) -> dict[str, float]:
    """FlagEmbedding's rule, once more: positive weights, the largest of an id, ids in the order they appear."""
    found: dict[str, float] = {}
    for token, weight in zip(ids, weights, strict=True):
        if token not in skip and weight > 0:
            found[str(token)] = max(found.get(str(token), 0.0), float(weight))
    return found


def test_an_id_has_its_largest_positive_weight_and_its_first_place(tmp_path):
    model = BGEM3FlagModel(str(with_visible_weights(own_m3(tmp_path))), normalize_embeddings=False)
    result = model.encode(TEXTS, return_sparse=True, return_colbert_vecs=True)
    repeated = 0
    for text, weights, tokens in zip(TEXTS, result["lexical_weights"], result["colbert_vecs"], strict=True):
        ids = model.tokenizer(text)["input_ids"][1:]
        wanted = largest_weights(ids, tokens[:, 0], {0, 1, 2, 3})
        assert list(weights) == list(wanted)
        assert np.allclose(list(weights.values()), list(wanted.values()), atol=5e-6)
        repeated += len(ids) - len(set(ids))
    assert repeated > 10


def test_special_tokens_of_the_tokenizer_have_no_weight_but_a_typed_mask_has(tmp_path):
    model = BGEM3FlagModel(str(constant_weights(own_m3(tmp_path))), return_dense=False, return_sparse=True)
    text = "wing <mask> flow </s> <s> <pad> <unk> wing \U0001f6e9"
    ids = model.tokenizer(text)["input_ids"]
    assert {0, 1, 2, 3, model.tokenizer.mask_token_id} <= set(ids)
    kept = [token for token in dict.fromkeys(ids) if token not in (0, 1, 2, 3)]
    assert list(model.encode(text)["lexical_weights"].items()) == [(str(token), 0.5) for token in kept]
    assert str(model.tokenizer.mask_token_id) in model.encode(text)["lexical_weights"]


def test_a_tokenizer_without_eos_keeps_the_weight_of_its_sep(tmp_path):
    model = BGEM3FlagModel(str(bert_m3(tmp_path)), return_sparse=True)
    tokenizer = model.tokenizer
    weights = model.encode("wing [MASK] [CLS] [PAD] [UNK] [SEP]")["lexical_weights"]
    kept = {tokenizer.sep_token_id, tokenizer.mask_token_id, *tokenizer("wing")["input_ids"]} - {tokenizer.cls_token_id}
    assert set(weights) == set(map(str, kept))
    assert tokenizer.eos_token_id is None
    assert list(model.encode("")["lexical_weights"]) == [str(tokenizer.sep_token_id)]
    assert model.compute_score(("", ""))["sparse"] == 0.25


def test_weights_survive_json_and_still_score_the_same(m3):
    weights = m3.encode(TEXTS, **ALL)["lexical_weights"]
    stored = json.loads(json.dumps(weights))
    assert stored == weights
    assert all(type(value) is float for table in weights for value in table.values())
    score = m3.compute_lexical_matching_score
    assert np.array_equal(score(stored, stored), score(weights, weights))
    assert [list(table) for table in stored] == [list(table) for table in weights]


def test_a_missing_id_weighs_nothing(m3):
    weights = m3.encode(TEXTS[0], return_sparse=True)["lexical_weights"]
    assert weights["no such id"] == 0
    assert weights["no such id"] == 0
    assert weights.get("nor this") is None


# ── options ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_pooling_methods_and_normalization_are_live(m3):
    model = opened(pooling_method="last_token")
    unit = model.encode(TEXTS, **ALL)
    for vectors, tokens in zip(unit["dense_vecs"], unit["colbert_vecs"], strict=True):
        assert vectors.shape == tokens[-1].shape
    model.normalize_embeddings = False
    raw = model.encode(TEXTS, **ALL)
    for mine, theirs in zip(
        [raw["dense_vecs"], *raw["colbert_vecs"]], [unit["dense_vecs"], *unit["colbert_vecs"]], strict=True
    ):
        lengths = np.linalg.norm(mine, axis=1, keepdims=True)
        assert np.abs(lengths - 1).max() > 0.1
        assert np.allclose(mine / lengths, theirs, atol=1e-6)
    model.pooling_method = "cls"
    assert np.allclose(
        model.encode(TEXTS)["dense_vecs"], FlagModel(str(checkpoint("tiny-m3")), False).encode(TEXTS), atol=1e-6
    )
    model.pooling_method = "mean"
    means = FlagModel(str(checkpoint("tiny-m3")), False, pooling_method="mean").encode(TEXTS)
    assert np.allclose(model.encode(TEXTS)["dense_vecs"], means, atol=1e-6)
    model.pooling_method = "max"
    with pytest.raises(NotImplementedError, match="'max'.*cls.*mean.*last_token"):
        model.encode("wing")


def test_last_token_pooling_takes_the_last_real_token(tmp_path):
    folder = own_m3(tmp_path)
    write_head(folder, "colbert_linear", np.eye(32), np.zeros(32))
    model = BGEM3FlagModel(str(folder), pooling_method="last_token")
    result = model.encode(TEXTS, return_colbert_vecs=True)
    last = np.stack([vectors[-1] for vectors in result["colbert_vecs"]])
    assert np.allclose(result["dense_vecs"], last, atol=1e-6)


def test_truncate_dim_comes_before_normalization_and_leaves_lexical_weights_alone(m3):
    raw, short = opened(normalize_embeddings=False).encode(TEXTS, **ALL), opened(truncate_dim=8).encode(TEXTS, **ALL)
    pairs = [(raw["dense_vecs"], short["dense_vecs"]), *zip(raw["colbert_vecs"], short["colbert_vecs"], strict=True)]
    for full, cut in pairs:
        assert np.allclose(cut, full[:, :8] / np.linalg.norm(full[:, :8], axis=1, keepdims=True), atol=1e-6)
    assert short["lexical_weights"] == raw["lexical_weights"]
    assert_same(opened(truncate_dim=999).encode(TEXTS, **ALL), m3.encode(TEXTS, **ALL))
    empty = opened(truncate_dim=8)
    assert empty.encode([])["dense_vecs"].shape == (0, 8)
    assert empty.encode_vectors([], colbert=True).colbert.vectors.shape == (0, 8)


def test_instructions_and_lengths():
    model = opened(
        query_instruction_for_retrieval="Find: ",
        query_max_length=8,
        passage_max_length=16,
        passage_instruction_for_retrieval="passage",
        passage_instruction_format=r"{}\n{}",
        **ALL,
    )
    text = "boundary layer flow " * 50
    assert_same(model.encode_queries([text]), model.encode(["Find: " + text], max_length=8))
    assert_same(model.encode_corpus([text]), model.encode(["passage\n" + text], max_length=16))
    assert_same(model.encode([text]), opened(**ALL).encode([text], max_length=16))
    assert_same(model.encode([text], instruction="i "), model.encode(["i " + text]))
    assert_same(model.encode([text], instruction="i ", instruction_format=None), model.encode(["i " + text]))
    assert model.encode_queries(text)["colbert_vecs"].shape == (7, 32)
    model.query_max_length = None
    assert model.encode_queries(text)["colbert_vecs"].shape == (15, 32)
    with pytest.raises(TypeError, match="instruction"):
        model.encode_queries(text, instruction="x")


def test_a_text_of_the_models_own_length(m3):
    text = "wing " * 2000
    assert m3.encode(text, max_length=1024, **ALL)["colbert_vecs"].shape == (1023, 32)
    model = opened()
    with pytest.warns(UserWarning, match="max_length=8192.*1024"):
        assert model.encode(text, max_length=8192, **ALL)["colbert_vecs"].shape == (1023, 32)


def test_on_truncate():
    texts = ["short", "long " * 600]
    with pytest.warns(UserWarning, match="1 of 2 texts.*512"):
        opened(on_truncate="warn").encode(texts, **ALL)
    with pytest.raises(ValueError, match=r"texts\[1\].*512"):
        opened(on_truncate="error").encode(texts, **ALL)


def test_call_keywords_without_effect(m3):
    ignored = {"pad_to_multiple_of": 8, "verbose": False, "convert_to_numpy": False}
    assert_same(m3.encode(TEXTS, **ALL, **ignored), m3.encode(TEXTS, **ALL))
    assert BGEM3FlagModel(str(checkpoint("tiny-m3")), convert_to_numpy=False).encode("wing")["dense_vecs"].shape == (
        32,
    )


def test_encode_single_device(m3):
    assert_same(m3.encode_single_device(TEXTS, 4, 64, True, True, True), m3.encode(TEXTS, max_length=64, **ALL))
    assert m3.encode_single_device("wing", device="cpu")["lexical_weights"] is None
    with pytest.raises(ValueError, match="cuda:0"):
        m3.encode_single_device("wing", device="cuda:0")


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"return_dense": False}, AssertionError, "return_dense.*return_sparse.*return_colbert_vecs"),
        ({"batch_size": 0}, ValueError, "batch_size.*0"),
        ({"max_length": -1}, ValueError, "max_length.*-1"),
        ({"padding": True}, TypeError, "padding"),
        ({"sentences": ["fine", None]}, TypeError, r"texts\[1\] is NoneType"),
        ({"sentences": [("query", "passage")]}, TypeError, "compute_score"),
        ({"sentences": ["fine", "bad \ud800"]}, ValueError, r"texts\[1\].*character 4"),
    ],
)
def test_bad_calls_are_told_and_leave_the_model_usable(m3, arguments, error, said):
    before = m3.encode(TEXTS, **ALL)
    with pytest.raises(error, match=said):
        m3.encode(**{"sentences": ["wing"], **arguments})
    assert_same(m3.encode(TEXTS, **ALL), before)


@pytest.mark.parametrize("without", [HEADS, HEADS[:1], HEADS[1:]])
def test_a_model_without_both_heads_gives_dense_vectors_alone(tmp_path, m3, without):
    model = BGEM3FlagModel(str(own_m3(tmp_path, without=without)), return_sparse=True, return_colbert_vecs=True)
    dense = model.encode(TEXTS, return_sparse=False, return_colbert_vecs=False)
    assert np.allclose(dense["dense_vecs"], m3.encode(TEXTS)["dense_vecs"], atol=1e-6)
    for call, head in (
        (lambda: model.encode("wing"), "sparse head"),
        (lambda: model.encode("wing", return_sparse=False), "multi-vector head"),
        (lambda: model.encode_vectors(["wing"]), "sparse head"),
        (lambda: model.compute_score(("wing", "flow")), "sparse head"),
    ):
        with pytest.raises(ValueError, match=f"tiny-m3 has no {head}.*sparse_linear.pt and colbert_linear.pt"):
            call()
    assert model.model.colbert_linear.out_features is None


def test_a_dense_embedder_opens_for_dense_vectors_alone(tiny_bert, bert):
    model = BGEM3FlagModel(str(tiny_bert))
    assert np.allclose(model.encode(TEXTS)["dense_vecs"], bert.encode(TEXTS), atol=1e-6)
    with pytest.raises(ValueError, match="multi-vector"):
        model.encode("wing", return_colbert_vecs=True)


def test_options_that_contradict_the_checkpoint():
    assert opened(colbert_dim=32).model.colbert_linear.out_features == 32
    assert opened(colbert_dim=0).model.colbert_linear.out_features == 32
    with pytest.raises(ValueError, match="colbert_dim=64.*32"):
        opened(colbert_dim=64)
    with pytest.raises(NotImplementedError, match="'max'.*last_token"):
        opened(pooling_method="max")
    with pytest.raises(ModelFormatError, match="tiny-reranker is a reranker.*FlagReranker"):
        BGEM3FlagModel(str(checkpoint("tiny-reranker")))


@pytest.mark.parametrize("layer", ["sparse_linear", "colbert_linear"])
def test_a_number_that_is_not_finite_is_refused_before_relu_hides_it(tmp_path, layer):
    folder = own_m3(tmp_path)
    width = 1 if layer == "sparse_linear" else 32
    write_head(folder, layer, np.full((width, 32), np.nan), np.zeros(width))
    model = BGEM3FlagModel(str(folder))
    assert np.isfinite(model.encode(TEXTS)["dense_vecs"]).all()
    with pytest.raises(NumericsError, match=r"texts\[0\]"):
        model.encode(["wing"], return_sparse=width == 1, return_colbert_vecs=width > 1)
    with pytest.raises(NumericsError, match=r"the query of pairs\[0\]"):
        model.compute_score([("wing", "flow")])


# ── the object ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Spy:
    """Stands before a core and writes down what it is asked to encode."""

    def __init__(self, core: Any) -> None:
        self.core, self.calls = core, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def encode_m3(self, texts: list[str], **options: Any) -> Any:
        self.calls.append(texts)
        return self.core.encode_m3(texts, **options)


def test_one_pass_gives_all_that_was_asked_for():
    model = opened()
    spy = model._open().core = Spy(model._open().core)
    model.encode(TEXTS, **ALL)
    model.encode("wing", **ALL)
    assert spy.calls == [TEXTS, ["wing"]]


def test_attributes_callers_read(m3):
    folder = str(checkpoint("tiny-m3"))
    assert isinstance(m3, AbsEmbedder)
    assert (m3.model_name_or_path, m3.use_fp16, m3.kwargs, m3.pool) == (folder, True, {}, None)
    assert (m3.query_max_length, m3.passage_max_length, m3.batch_size) == (512, 512, 256)
    assert m3.target_devices == ["cpu"]
    assert m3.model.config is m3.model.model.config
    assert m3.model.model.config.hidden_size == 32
    assert m3.model.colbert_linear.out_features == 32
    m3.model.config._name_or_path = "renamed"
    assert m3.model.model.config._name_or_path == "renamed"
    assert len(m3.tokenizer) == 2085
    assert m3.stop_self_pool() is None
    assert m3.stop_self_pool() is None
    assert m3.info()["kind"] == "m3"
    assert BGEM3FlagModel.DEFAULT_POOLING_METHOD == "cls"


def test_keywords_of_flagembeddings_evaluation_are_accepted_with_one_warning():
    foreign = {"prompt": "p", "cutoff_layers": [1], "compress_ratio": 1, "domain_for_pseudo_moe": "d"}
    with pytest.warns(UserWarning, match="prompt, cutoff_layers, compress_ratio, domain_for_pseudo_moe") as caught:
        model = opened(**foreign)
    assert len(caught) == 1
    assert (model.kwargs, model.cutoff_layers) == (foreign, [1])
    opened(**foreign)


def test_pickles_as_path_and_options(m3):
    model = opened(pooling_method="mean", **ALL)
    model.return_colbert_vecs = False
    copy = pickle.loads(pickle.dumps(model))
    assert_same(copy.encode(TEXTS), model.encode(TEXTS))
    assert copy.encode("wing")["colbert_vecs"] is None


def test_16_threads_with_all_methods_give_the_serial_numbers(m3):
    pairs = [(one, other) for one in TEXTS[:4] for other in TEXTS[4:]]
    calls = [
        lambda: m3.encode(TEXTS, **ALL),
        lambda: m3.encode_queries(TEXTS[0], max_length=8, **ALL)["dense_vecs"],
        lambda: m3.encode_corpus(TEXTS, batch_size=3, max_length=64, return_sparse=True),
        lambda: m3.compute_score(pairs, max_passage_length=32),
        lambda: m3.encode_vectors(TEXTS[:3], colbert=True).colbert.vectors,
        lambda: m3.convert_id_to_token(m3.encode(TEXTS[0], return_sparse=True)["lexical_weights"]),
    ]
    serial = [call() for call in calls]

    def work(thread: int) -> None:
        for turn in range(12):
            place = (thread + turn) % len(calls)
            assert_close(calls[place](), serial[place])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))


def assert_close(one: Any, other: Any) -> None:
    """Equal numbers, whatever they are in."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        for mine, theirs in zip(one, other, strict=True):
            assert_close(mine, theirs)
    elif one is not None:
        assert np.abs(one - other).max(initial=0) <= 5e-6


def test_encode_vectors_is_encode_in_other_shapes(m3):
    model = opened(query_instruction_for_retrieval="Find: ", query_max_length=8)
    vectors, wanted = model.encode_vectors(TEXTS, colbert=True, query=True), model.encode_queries(TEXTS, **ALL)
    assert isinstance(vectors, M3Vectors)
    assert_same(
        {
            "dense_vecs": vectors.dense,
            "lexical_weights": vectors.sparse.to_dicts(),
            "colbert_vecs": vectors.colbert.to_list(),
        },
        wanted,
    )
    assert vectors.sparse.dim == len(model.tokenizer)
    assert [list(table) for table in vectors.sparse.to_dicts()] == [list(table) for table in wanted["lexical_weights"]]
    one = m3.encode_vectors("wing", dense=False)
    assert (one.dense, one.colbert, len(one.sparse)) == (None, None, 1)


@pytest.fixture
def changing_meanwhile():
    """A model whose core changes something of the model while it computes."""

    def make(change: Callable[[BGEM3FlagModel], object], **options: Any) -> BGEM3FlagModel:
        model = opened(**options)
        engine = model._open()

        class Core(Spy):
            def encode_m3(self, texts: list[str], **options: Any) -> Any:
                change(model)
                return super().encode_m3(texts, **options)

        engine.core = Core(engine.core)
        return model

    return make


def test_a_call_keeps_the_options_that_it_began_with(m3, changing_meanwhile):
    model = changing_meanwhile(lambda model: setattr(model, "truncate_dim", None), truncate_dim=16)
    vectors = model.encode_vectors(TEXTS, colbert=True)
    assert vectors.dense.shape[1] == vectors.colbert.vectors.shape[1] == 16
    assert len(vectors.colbert.vectors) == vectors.colbert.offsets[-1]


def test_a_call_finishes_when_the_model_is_closed_meanwhile(m3, changing_meanwhile):
    long = ["wing " * 600, "slipstream"]
    assert_same(changing_meanwhile(BGEM3FlagModel.close).encode(long, **ALL), m3.encode(long, **ALL))
    pairs = [(f"query {number}", f"passage {number}") for number in range(200)]
    scores = changing_meanwhile(BGEM3FlagModel.close).compute_score(pairs)
    assert scores["dense"] == pytest.approx(m3.compute_score(pairs)["dense"], abs=1e-6)


def test_nothing_is_printed():
    code = (
        f"from bge_fast import BGEM3FlagModel; m = BGEM3FlagModel({str(checkpoint('tiny-m3'))!r})\n"
        f"m.encode([f'wing {{n}}' for n in range(1000)], **{ALL!r}); m.compute_score([('wing', 'flow')] * 300)\n"
        "try: BGEM3FlagModel('/nowhere/at/all')\nexcept FileNotFoundError: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.slow
def test_memory_is_flat_over_many_calls_of_varying_length(m3):
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    random = np.random.default_rng(7)

    def some_calls(count: int) -> None:
        for _ in range(count):
            m3.encode(["wing " * int(length) for length in random.integers(1, 400, 3)], **ALL)

    some_calls(100)
    before = resident()
    some_calls(300)
    assert resident() - before <= 8 << 20
