"""Scores of BGE-M3: five of a pair, and the helpers that give the same numbers."""

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel
from tests.support.checkpoints import checkpoint
from tests.support.m3_checkpoints import own_m3, write_head

KEYS = ["colbert", "sparse", "dense", "sparse+dense", "colbert+sparse+dense"]
ALL = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
TEXTS = ["a wing of the plane in flow", "", "Der Flügel der Strömung", "wing wing the wing", "机翼", "flow " * 400]
PAIRS = [(query, passage) for query in TEXTS for passage in TEXTS]


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


def assert_close(one: dict[str, Any], other: dict[str, Any], tolerance: float = 8e-6) -> None:
    assert list(one) == list(other) == KEYS
    for key in KEYS:
        assert np.abs(np.subtract(one[key], other[key])).max() <= tolerance, key


# ── compute_score ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_three_forms_of_input(m3):
    many, one, none = m3.compute_score(PAIRS), m3.compute_score(PAIRS[3]), m3.compute_score([])
    assert [type(many[key]) for key in KEYS] == [list] * 5
    assert {type(score) for key in KEYS for score in many[key]} == {float}
    assert {type(one[key]) for key in KEYS} == {float}
    assert none == []
    assert_close(one, {key: many[key][3] for key in KEYS})
    assert_close(m3.compute_score(list(PAIRS[3])), one)
    assert_close(m3.compute_score(iter(PAIRS)), many)
    assert_close(m3.compute_score(np.array(PAIRS, dtype=object)), many)


def test_scores_are_those_of_the_helpers(m3):
    scores = m3.compute_score(PAIRS)
    result = m3.encode(TEXTS, **ALL)
    dense, lexical, colbert = result["dense_vecs"], result["lexical_weights"], result["colbert_vecs"]
    places = [(row, column) for row in range(len(TEXTS)) for column in range(len(TEXTS))]
    for place, (row, column) in enumerate(places):
        assert scores["dense"][place] == pytest.approx(float(dense[row] @ dense[column]), abs=8e-6)
        wanted = m3.compute_lexical_matching_score(lexical[row], lexical[column])
        assert scores["sparse"][place] == pytest.approx(wanted, abs=8e-6)
        wanted = float(m3.colbert_score(colbert[row], colbert[column]))
        assert scores["colbert"][place] == pytest.approx(wanted, abs=8e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_many_pairs_equal_one_at_a_time(m3, batch_size):
    pairs = PAIRS * 8  # more than are in memory at once
    alone = [m3.compute_score(pair) for pair in PAIRS] * 8
    wanted = {key: [scores[key] for scores in alone] for key in KEYS}
    assert_close(m3.compute_score(pairs, batch_size=batch_size), wanted)


def test_padding_takes_no_part_even_where_all_similarities_are_negative(tmp_path):
    """The head is made such that every vector of one text points away from every vector of the other."""
    query, passage = "a wing of the plane in flow", "Der Flügel der Strömung"
    states = states_of(own_m3(tmp_path / "states"), [query, passage])
    targets = np.repeat([1.0, -1.0], [len(rows) for rows in states])
    known = np.vstack([np.hstack([rows, np.ones((len(rows), 1))]) for rows in states])
    solution = np.linalg.lstsq(known, targets, rcond=None)[0]
    folder = own_m3(tmp_path)
    write_head(folder, "colbert_linear", np.vstack([solution[:-1], np.zeros(32)]), np.array([solution[-1], 0]))
    model = BGEM3FlagModel(str(folder))
    alone = model.compute_score((query, passage))["colbert"]
    assert alone == pytest.approx(-1, abs=1e-5)
    padded = model.compute_score([(query, passage), (query, "flow " * 100), ("wing " * 100, passage)])
    assert padded["colbert"][0] == pytest.approx(-1, abs=1e-5)


def states_of(folder: Path, texts: list[str]) -> list[np.ndarray]:
    """Hidden states of all tokens but the first."""
    write_head(folder, "colbert_linear", np.eye(32), np.zeros(32))
    model = BGEM3FlagModel(str(folder), normalize_embeddings=False)
    return model.encode(texts, return_colbert_vecs=True)["colbert_vecs"]


def test_weights_are_of_dense_sparse_and_colbert(m3):
    pair = (TEXTS[0], TEXTS[0])
    plain, weighted = m3.compute_score(pair), m3.compute_score(pair, weights_for_different_modes=[0.4, 0.2, 0.4])
    dense, sparse, colbert = plain["dense"], plain["sparse"], plain["colbert"]
    assert plain["sparse+dense"] == pytest.approx((sparse + dense) / 2, abs=1e-6)
    assert plain["colbert+sparse+dense"] == pytest.approx((colbert + sparse + dense) / 3, abs=1e-6)
    assert weighted["sparse+dense"] == pytest.approx((0.2 * sparse + 0.4 * dense) / 0.6, abs=1e-6)
    assert weighted["colbert+sparse+dense"] == pytest.approx(0.4 * colbert + 0.2 * sparse + 0.4 * dense, abs=1e-6)
    assert {type(score) for score in weighted.values()} == {float}


def test_a_denominator_of_zero_follows_ieee(m3):
    nothing = m3.compute_score(PAIRS[0], weights_for_different_modes=[0, 0, 0])
    assert math.isnan(nothing["sparse+dense"])
    assert math.isnan(nothing["colbert+sparse+dense"])
    apart = m3.compute_score((TEXTS[0], TEXTS[0]), weights_for_different_modes=[1, -1, 0])
    assert math.isinf(apart["sparse+dense"])
    assert apart["dense"] == pytest.approx(1, abs=1e-6)


def test_lengths_of_both_sides(m3):
    long = "boundary layer flow " * 60
    scores = m3.compute_score((long, long), max_query_length=8, max_passage_length=16)
    query, passage = (m3.encode(long, max_length=length, **ALL) for length in (8, 16))
    assert scores["dense"] == pytest.approx(float(query["dense_vecs"] @ passage["dense_vecs"]), abs=8e-6)
    wanted = m3.compute_lexical_matching_score(query["lexical_weights"], passage["lexical_weights"])
    assert scores["sparse"] == pytest.approx(wanted, abs=8e-6)
    wanted = float(m3.colbert_score(query["colbert_vecs"], passage["colbert_vecs"]))
    assert scores["colbert"] == pytest.approx(wanted, abs=8e-6)
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")), query_max_length=8, passage_max_length=16)
    assert_close(model.compute_score((long, long)), scores)
    model.query_max_length = None
    assert_close(model.compute_score((long, long)), m3.compute_score((long, long), None, 16, 16))


def test_neither_truncate_dim_nor_an_instruction_changes_a_score(m3):
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")), query_instruction_for_retrieval="Find: ", truncate_dim=4)
    assert_close(model.compute_score(PAIRS), m3.compute_score(PAIRS))
    assert model.truncate_dim == 4
    model.normalize_embeddings = False
    assert abs(model.compute_score((TEXTS[0], TEXTS[0]))["dense"] - 1) > 0.1


def test_on_one_device(m3):
    wanted = m3.compute_score(PAIRS, None, 32, 64)
    assert_close(m3.compute_score_single_device(PAIRS, 5, 32, 64, device="cpu"), wanted)
    with pytest.raises(ValueError, match="cuda:0"):
        m3.compute_score_single_device(PAIRS, device="cuda:0")


def test_a_text_that_stands_in_many_pairs_is_encoded_once_a_side():
    model = BGEM3FlagModel(str(checkpoint("tiny-m3")))
    engine, asked = model._open(), []

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(core, name)

        def encode_m3(self, texts: list[str], **options: Any) -> Any:
            asked.extend(texts)
            return core.encode_m3(texts, **options)

    core, engine.core = engine.core, Spy()
    passages = [f"passage {number}" for number in range(300)]
    model.compute_score([("the query", passage) for passage in passages])
    assert sorted(asked) == sorted(["the query", *passages])


def test_on_truncate_warns_once_a_side_and_names_the_pair():
    pairs = [("wing", f"{number} " + "flow " * 600) for number in range(300)]
    warning = BGEM3FlagModel(str(checkpoint("tiny-m3")), on_truncate="warn")
    with pytest.warns(UserWarning, match="300 of 300 texts.*16") as caught:
        warning.compute_score(pairs, max_passage_length=16)
    assert len(caught) == 1
    strict = BGEM3FlagModel(str(checkpoint("tiny-m3")), on_truncate="error")
    with pytest.raises(ValueError, match=r"the passage of pairs\[1\] has .* tokens"):
        strict.compute_score([("wing", "flow"), ("wing", "flow " * 600)])


def test_progress_bar_when_asked(m3, capfd):
    m3.compute_score(PAIRS, show_progress_bar=True)
    assert "36/36" in capfd.readouterr().err
    m3.compute_score(PAIRS)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"sentence_pairs": "str"}, TypeError, r"\(query, passage\)"),
        ({"sentence_pairs": ["a", "b", "c"]}, ValueError, "3 texts"),
        ({"sentence_pairs": [("a", "b"), ("c",)]}, ValueError, r"pairs\[1\] has 1"),
        ({"sentence_pairs": [("a", "b"), "cd"]}, TypeError, r"pairs\[1\] is str"),
        ({"sentence_pairs": [("a", "b"), ("c", None)]}, TypeError, r"passage of pairs\[1\] is NoneType"),
        (
            {"sentence_pairs": [("a", "b"), ("a", "b"), ("x\ud800", "b")]},
            ValueError,
            r"query of pairs\[2\].*character 1",
        ),
        (
            {"sentence_pairs": [("a", "b")] * 200 + [("a", "\ud800")]},
            ValueError,
            r"passage of pairs\[200\].*character 0",
        ),
        ({"weights_for_different_modes": [1, 2]}, AssertionError, "dense, sparse and colbert; got 2"),
        ({"batch_size": 0}, ValueError, "batch_size.*0"),
        ({"max_query_length": -1}, ValueError, "max_query_length.*-1"),
        ({"max_passage_length": 1.5}, TypeError, r"max_passage_length.*1\.5"),
        ({"padding": True}, TypeError, "padding"),
    ],
)
def test_bad_calls_are_told(m3, arguments, error, said):
    with pytest.raises(error, match=said):
        m3.compute_score(**{"sentence_pairs": PAIRS, **arguments})


# ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lexical_scores_of_dicts_and_lists(m3):
    score = m3.compute_lexical_matching_score
    one, other = {"5": 0.5, "7": 2.0, "9": 1.0}, defaultdict(int, {"7": 0.25, "5": 4.0, "8": 1.0})
    assert score(one, other) == 2.5
    assert type(score(one, other)) is float
    assert (score(one, {}), type(score(one, {"1": 1.0}))) == (0.0, float)
    assert other.keys() == {"7", "5", "8"}
    matrix = score([one, other, {}], [other, one])
    assert matrix.tolist() == [[2.5, 5.25], [17.0625, 2.5], [0, 0]]
    shapes = {score([], [one]).shape, score([one], []).shape, score([{}], [{}]).shape}
    assert shapes == {(0, 1), (1, 0), (1, 1)}
    assert {matrix.dtype, score([{}], [{}]).dtype, score([], []).dtype} == {np.dtype(np.float64)}
    for mixed in ((one, [other]), ([one], other)):
        with pytest.raises(ValueError, match="not one of each"):
            score(*mixed)


def test_lexical_scores_of_flagembeddings_weights_and_of_json(m3):
    weights = {"5": np.float16(0.1), "7": np.float32(0.3)}
    wanted = float(np.float16(0.1)) ** 2 + float(np.float32(0.3)) ** 2
    assert m3.compute_lexical_matching_score(weights, weights) == pytest.approx(wanted, abs=1e-12)
    plain = {key: float(value) for key, value in weights.items()}
    assert m3.compute_lexical_matching_score(json.loads(json.dumps(plain)), weights) == pytest.approx(wanted, abs=1e-12)


def test_colbert_score_takes_whatever_is_an_array(m3):
    query, passage = [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.25], [0.0, -1.0], [-1.0, 0.5]]
    assert m3.colbert_score(query, passage) == np.float32(0.5)
    for kind in (np.float16, np.float32, np.float64):
        score = m3.colbert_score(np.array(query, kind), np.array(passage, kind))
        assert type(score) is np.float32
        assert score.item() == float(score) == 0.5


def test_ids_become_texts(m3):
    weights = m3.encode(TEXTS, return_sparse=True)["lexical_weights"]
    named = m3.convert_id_to_token(weights[0])
    assert type(named) is dict
    decoded = [m3.tokenizer.decode([int(token)]) for token in weights[0]]
    assert list(named) == list(dict.fromkeys(decoded))
    assert set(named.values()) <= set(weights[0].values())
    assert m3.convert_id_to_token([weights[0]]) == named
    assert m3.convert_id_to_token([weights[0], weights[3]]) == [named, m3.convert_id_to_token(weights[3])]
    assert m3.convert_id_to_token([]) == []
    assert m3.convert_id_to_token({}) == {}


def test_ids_of_the_same_text_collide_and_the_later_one_wins(m3):
    """The lone word-start marker of XLM-R has no text of its own; special tokens keep theirs."""
    tokenizer = m3.tokenizer
    marker = tokenizer.convert_tokens_to_ids("▁")
    assert m3.convert_id_to_token({str(marker): 0.5, "0": 1.0}) == {"": 0.5, "<s>": 1.0}
    texts: dict[str, list[int]] = {}
    for token in range(len(tokenizer)):
        texts.setdefault(tokenizer.decode([token]), []).append(token)
    text, ids = next((text, ids) for text, ids in texts.items() if len(ids) > 1)
    assert m3.convert_id_to_token({str(ids[0]): 1.0, "5": 2.0, str(ids[-1]): 3.0})[text] == 3.0


@pytest.mark.parametrize(
    ("weights", "error", "named"),
    [
        ({-1: 1.0}, ValueError, "-1"),
        ({"x": 1.0}, ValueError, "x"),
        ({2**40: 1.0}, ValueError, "1099511627776"),
        (["a"], TypeError, r"lexical_weights\[0\]"),
        ([{"5": 1.0}, None], TypeError, r"lexical_weights\[1\]"),
    ],
)
def test_weights_of_no_token_are_named(m3, weights, error, named):
    with pytest.raises(error, match=named):
        m3.convert_id_to_token(weights)
