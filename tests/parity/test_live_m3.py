"""BGEM3FlagModel beside FlagEmbedding's in one process: dense vectors, lexical weights, multi-vectors and scores.

Left out by number are these deliberate differences of contract section 6: #12 (lengths above the model's limit: the
reference is FlagEmbedding at the limit), #15 (padded passages: the reference is FlagEmbedding with one pair a batch) and
#16 (compute_score without an eos token: the reference is made of FlagEmbedding's helpers); also texts whose ids in
FlagEmbedding are no reference (contract 3.8), by label. Others are shown to be as promised: #4, #5, #18 to #23.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bge_fast import BGEM3FlagModel
from tests.parity.cases import M3_CASES, M3_NAMES, M3_SCORE_CASES, CaseCall, ScoreCall, select_pairs, select_texts
from tests.parity.checkpoints import find_checkpoint
from tests.parity.differences import SURE_WEIGHT, largest, of_scores, of_vectors, of_weights
from tests.parity.golden import load_texts
from tests.parity.golden_m3 import MODES
from tests.parity.live import SOURCES, Note, exported, noted
from tests.parity.record_m3 import find_kept
from tests.parity.reference_m3 import Pairs, Scores, m3_checkpoint, open_reference, reference_scores
from tests.parity.threads import one_thread

pytestmark = pytest.mark.timeout(900)

TOLERANCE = 1e-5
BATCH_SIZES = (1, 7, 64)
SHORT = {"max_query_length": 24, "max_passage_length": 32}
TEXTS = load_texts()
LABELS = list(TEXTS)
OPTIONS: dict[str, Any] = {"use_fp16": False, "devices": "cpu", "batch_size": 16}
ALL = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
KEYS = ["dense_vecs", "lexical_weights", "colbert_vecs"]
XLMR, BERT = M3_NAMES

in_both_models = pytest.mark.parametrize("name", M3_NAMES)
# The checkpoint on BERT is made here and has no export.
from_both_sources = pytest.mark.parametrize(
    ("name", "source"), [(name, source) for name in M3_NAMES for source in SOURCES[: 1 + (name == XLMR)]]
)


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    yield from noted(request)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoint on BERT is made."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def folder(name: str, scratch: Path) -> Path:
    return m3_checkpoint(name, scratch)


@functools.cache
def _open(folder: Path, options: tuple[tuple[str, Any], ...]) -> BGEM3FlagModel:
    return BGEM3FlagModel(str(folder), **{**OPTIONS, **dict(options)}, **ALL)


def open_ours(folder: Path, source: str = "checkpoint", **options: Any) -> BGEM3FlagModel:
    return _open(folder if source == "checkpoint" else exported(folder.name), tuple(sorted(options.items())))


@functools.cache
def their_results(folder: Path, case_name: str, batch_size: int) -> tuple[list[str], dict[str, Any]]:
    """The texts whose ids are a reference, and what FlagEmbedding gives for them."""
    case = next(case for case in M3_CASES if case.name == case_name)
    chosen = {label: TEXTS[label] for label in select_texts(LABELS)[case.texts]}
    kept = find_kept(folder, chosen, case)
    assert len(chosen) - len(kept) <= 3
    texts = [text for label, text in chosen.items() if label in kept]
    model = open_reference(folder, case.options)
    return texts, getattr(model, case.call)(texts, batch_size, **case.arguments)


@functools.cache
def reference_pairs(folder: Path, selection: str) -> Pairs:
    kept = find_kept(folder, TEXTS)
    return [(TEXTS[one], TEXTS[other]) for one, other in select_pairs(LABELS)[selection] if kept >= {one, other}]


@functools.cache
def their_scores(folder: Path, call_name: str) -> Scores:
    call = next(call for call in M3_SCORE_CASES if call.name == call_name)
    return reference_scores(folder, call, reference_pairs(folder, call.pairs))


def check_results(ours: dict[str, Any], theirs: dict[str, Any], note: Callable[[str, float], None]) -> None:
    """Every number of the three results, and the order of the tokens."""
    assert list(ours) == list(theirs) == KEYS
    assert ours["dense_vecs"].dtype == np.float32
    weights = list(zip(ours["lexical_weights"], theirs["lexical_weights"], strict=True))
    vectors = list(zip(ours["colbert_vecs"], theirs["colbert_vecs"], strict=True))
    found = {
        "dense": largest(of_vectors(ours["dense_vecs"], theirs["dense_vecs"])),
        "sparse": largest([of_weights(*both) for both in weights]),
        "colbert": largest([largest(of_vectors(*both)) for both in vectors]),
    }
    for what, difference in found.items():
        note(what, difference)
    assert {what: difference for what, difference in found.items() if difference > TOLERANCE} == {}
    assert [sure_tokens(mine) for mine, _ in weights] == [sure_tokens(other) for _, other in weights]


def sure_tokens(weights: dict[str, float]) -> list[str]:
    return [token for token, weight in weights.items() if weight > SURE_WEIGHT]


def check_scores(ours: Scores, theirs: Scores, note: Callable[[str, float], None]) -> None:
    """All five modes; a score above 1, which only lexical ones reach, to the same share of it."""
    assert list(ours) == list(theirs) == list(MODES)
    found = {mode: largest(of_scores(ours[mode], theirs[mode])) for mode in MODES}
    for mode, difference in found.items():
        note(mode, difference)
    assert {mode: difference for mode, difference in found.items() if difference > TOLERANCE} == {}


# ── encode ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@from_both_sources
@pytest.mark.parametrize("case", M3_CASES, ids=lambda case: case.name)
def test_encode(folder: Path, source: str, case: CaseCall, note: Note) -> None:
    ours = open_ours(folder, source, **case.options)
    texts, theirs = their_results(folder, case.name, 16)
    results = getattr(ours, case.call)(texts, **case.arguments)
    check_results(results, theirs, functools.partial(note, folder.name, source, case.name))


@from_both_sources
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_batch_sizes(folder: Path, source: str, batch_size: int, note: Note) -> None:
    texts, theirs = their_results(folder, "all", batch_size)
    assert len(texts) >= 200
    results = open_ours(folder, source).encode(texts, batch_size=batch_size)
    check_results(results, theirs, functools.partial(note, folder.name, source, f"all, batches of {batch_size}"))


@from_both_sources
def test_texts_at_the_models_limit_and_beyond(folder: Path, source: str, note: Note) -> None:
    """FlagEmbedding fails above it, bge-fast takes the limit and says so (#12)."""
    limit = {XLMR: 1024, BERT: 512}[folder.name]
    labels = ["letter-10000", "ideograph-10000", "mask-600", "prose-650-words", "joined-19", "joined-18", "empty"]
    texts = [TEXTS[label] for label in labels] + [TEXTS["prose-650-words"] * 3]
    theirs = open_reference(folder, {}).encode(texts, max_length=limit)
    assert len(theirs["colbert_vecs"][-1]) == limit - 1
    ours = BGEM3FlagModel(str(folder if source == "checkpoint" else exported(folder.name)), **OPTIONS, **ALL)
    note_difference = functools.partial(note, folder.name, source, f"length {limit}")
    check_results(ours.encode(texts, max_length=limit), theirs, note_difference)
    with pytest.warns(UserWarning, match=f"max_length=8192 is lowered to {limit}"):
        results = ours.encode(texts, max_length=8192)
    check_results(results, theirs, lambda *_: None)


@in_both_models
@pytest.mark.parametrize("mode", range(3))
def test_each_mode_alone(folder: Path, mode: int) -> None:
    texts = [TEXTS[label] for label in select_texts(LABELS)["some"]][:20]
    asked = {name: place == mode for place, name in enumerate(ALL)}
    alone, together = open_ours(folder).encode(texts, **asked), open_ours(folder).encode(texts)
    theirs = open_reference(folder, {}).encode(texts, **asked)
    assert [alone[key] is None for key in KEYS] == [theirs[key] is None for key in KEYS]
    check_results({**together, KEYS[mode]: alone[KEYS[mode]]}, together, lambda *_: None)


@in_both_models
@pytest.mark.parametrize(
    "label", ["sentence-en-1", "empty", "spaces-7", "nul", "typed-pads-only", "one-emoji", "letter-10000"]
)
def test_one_text(folder: Path, label: str, note: Note) -> None:
    """A str gives each result without its list; the empty one gives one multi-vector and no weights."""
    ours, theirs = open_ours(folder).encode(TEXTS[label]), open_reference(folder, {}).encode(TEXTS[label])
    assert ours["dense_vecs"].shape == theirs["dense_vecs"].shape == (32,)
    assert ours["colbert_vecs"].shape == theirs["colbert_vecs"].shape
    assert isinstance(ours["lexical_weights"], defaultdict)
    check_results(*({key: in_list(one[key]) for key in KEYS} for one in (ours, theirs)), lambda *_: None)
    if label == "empty" and folder.name == XLMR:
        assert (len(ours["colbert_vecs"]), ours["lexical_weights"]) == (1, {})


def in_list(result: Any) -> Any:
    return result[None] if isinstance(result, np.ndarray) else [result]


@pytest.mark.parametrize("name", [BERT])
def test_sep_of_a_bert_tokenizer_keeps_its_weight(folder: Path) -> None:
    ours, theirs = open_ours(folder), open_reference(folder, {})
    sep = str(theirs.tokenizer.sep_token_id)
    texts = [TEXTS[label] for label in LABELS[:60]]
    mine, others = (model.encode(texts)["lexical_weights"] for model in (ours, theirs))
    assert sum(sep in weights for weights in others) > 10
    assert [weights.get(sep, 0) > SURE_WEIGHT for weights in mine] == [w.get(sep, 0) > SURE_WEIGHT for w in others]


@pytest.mark.parametrize("name", [XLMR])
def test_special_tokens_of_xlmr_have_no_weight_but_a_typed_mask(folder: Path) -> None:
    texts = [TEXTS[label] for label in LABELS if label.startswith("typed-")] + [TEXTS["mask-600"]]
    weights = open_ours(folder).encode(texts)["lexical_weights"]
    assert not any(weights_of_one.keys() & {"0", "1", "2", "3"} for weights_of_one in weights)
    mask = str(open_ours(folder).tokenizer.convert_tokens_to_ids("<mask>"))
    assert any(mask in weights_of_one for weights_of_one in weights)


# ── compute_score ─────────────────────────────────────────────────────────────────────────────────────────────────────


@from_both_sources
@pytest.mark.parametrize("call", M3_SCORE_CASES, ids=lambda call: call.name)
def test_compute_score(folder: Path, source: str, call: ScoreCall, note: Note) -> None:
    ours = open_ours(folder, source, **call.options)
    theirs = their_scores(folder, call.name)
    scores = ours.compute_score(reference_pairs(folder, call.pairs), **call.arguments)
    check_scores(scores, theirs, functools.partial(note, folder.name, source, f"score: {call.name}"))


@in_both_models
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_batch_sizes_of_pairs(folder: Path, batch_size: int, note: Note) -> None:
    pairs = reference_pairs(folder, "most")
    assert len(pairs) >= 300
    scores = open_ours(folder).compute_score(pairs, batch_size=batch_size)
    note_difference = functools.partial(note, folder.name, "checkpoint", f"score: batches of {batch_size}")
    check_scores(scores, their_scores(folder, "all"), note_difference)


@pytest.fixture(scope="module")
def opposed(scratch: Path) -> Path:
    """A checkpoint with multi-vectors around zero, so that all similarities of a token may be negative."""
    folder = Path(shutil.copytree(m3_checkpoint(XLMR, scratch), scratch / "opposed"))
    texts = [TEXTS[label] for label in LABELS[:100]]
    raw = open_reference(m3_checkpoint(XLMR, scratch), {"normalize_embeddings": False}).encode(texts)["colbert_vecs"]
    head = torch.load(folder / "colbert_linear.pt", weights_only=True)
    head["bias"] -= torch.from_numpy(np.concatenate(raw).mean(axis=0)).to(head["bias"].dtype)
    torch.save(head, folder / "colbert_linear.pt")
    return folder


@pytest.mark.parametrize("batch_size", [7, 64])
def test_batches_of_flagembedding(opposed: Path, batch_size: int, note: Note) -> None:
    """There, tokens of queries without a similar one in a padded passage get 0 instead of less (#15)."""
    model, pairs = open_reference(opposed, {}), reference_pairs(opposed, "most")
    alone, batched = model.compute_score(pairs, 1, **SHORT), model.compute_score(pairs, batch_size, **SHORT)
    ours = open_ours(opposed).compute_score(pairs, batch_size, **SHORT)
    check_scores(ours, alone, functools.partial(note, opposed.name, "checkpoint", f"score: batches of {batch_size}"))
    for mode in ("sparse", "dense", "sparse+dense"):
        assert largest(of_scores(ours[mode], batched[mode])) <= TOLERANCE
    more = np.array(batched["colbert"]) - alone["colbert"]
    assert more.min() >= -TOLERANCE
    assert (more > 0.01).sum() > 10


@in_both_models
def test_one_pair_and_none(folder: Path) -> None:
    ours = open_ours(folder)
    pair = ("cooling delays", TEXTS["sentence-en-1"])
    scores = ours.compute_score(pair)
    assert {mode: [score] for mode, score in scores.items()} == ours.compute_score([pair])
    assert all(type(score) is float for score in scores.values())
    assert ours.compute_score([]) == []
    if folder.name == XLMR:
        theirs = open_reference(folder, {})
        assert theirs.compute_score([]) == []
        check_scores(
            *({mode: [one[mode]] for mode in one} for one in (scores, theirs.compute_score(pair))), lambda *_: None
        )


@pytest.mark.parametrize("name", [XLMR])
@pytest.mark.parametrize("weights", [[0, 0, 0], [1, -1, 0], [0, 0, 1], [1, 0, 0]])
def test_weights_that_add_up_to_nothing(folder: Path, weights: list[float]) -> None:
    """FlagEmbedding divides tensors: nan and ±inf, no exception."""
    pairs = reference_pairs(folder, "some")[:8]
    ours = open_ours(folder).compute_score(pairs, weights_for_different_modes=weights)
    theirs = open_reference(folder, {}).compute_score(pairs, 1, weights_for_different_modes=weights)
    check_scores(ours, theirs, lambda *_: None)


@pytest.mark.parametrize("name", [XLMR])
def test_number_of_weights(folder: Path) -> None:
    for model in (open_ours(folder), open_reference(folder, {})):
        with pytest.raises(AssertionError):
            model.compute_score([("a", "b")], weights_for_different_modes=[1, 1])


# ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_both_models
def test_helper_scores_are_those_of_compute_score(folder: Path, note: Note) -> None:
    ours = open_ours(folder)
    pairs = reference_pairs(folder, "some")
    queries, passages = (ours.encode([pair[side] for pair in pairs]) for side in (0, 1))
    scores = ours.compute_score(pairs)
    both = list(zip(*(zip(*(one[key] for key in KEYS), strict=True) for one in (queries, passages)), strict=True))
    helped = {
        "colbert": [float(ours.colbert_score(query[2], passage[2])) for query, passage in both],
        "sparse": [ours.compute_lexical_matching_score(query[1], passage[1]) for query, passage in both],
        "dense": [float(query[0] @ passage[0]) for query, passage in both],
    }
    for mode, values in helped.items():
        assert largest(of_scores(values, scores[mode])) <= TOLERANCE


@in_both_models
def test_helpers_give_what_flagembeddings_give(folder: Path, note: Note) -> None:
    """On both sides' results, also after JSON. Types differ on purpose (#20, #21, #23)."""
    ours, theirs = open_ours(folder), open_reference(folder, {})
    texts, others = their_results(folder, "all", 16)
    texts, others = texts[::7], {key: results[::7] for key, results in others.items()}
    mine = ours.encode(texts)
    expected = theirs.compute_lexical_matching_score(others["lexical_weights"], others["lexical_weights"])
    for weights in (
        mine["lexical_weights"],
        others["lexical_weights"],
        json.loads(json.dumps(mine["lexical_weights"])),
    ):
        scores = ours.compute_lexical_matching_score(weights, weights)
        assert (scores.dtype, scores.shape) == (np.float64, (len(texts), len(texts)))
        assert largest(of_scores(scores, expected)) <= TOLERANCE
    for query, passage in zip(mine["colbert_vecs"], reversed(mine["colbert_vecs"]), strict=True):
        score = ours.colbert_score(query, passage)
        assert type(score) is np.float32
        assert abs(score.item() - theirs.colbert_score(query, passage).item()) <= TOLERANCE


@in_both_models
def test_tokens_of_weights(folder: Path) -> None:
    ours, theirs = open_ours(folder), open_reference(folder, {})
    weights = theirs.encode([text for label, text in TEXTS.items() if len(text) < 200])["lexical_weights"]
    named, expected = ours.convert_id_to_token(weights), theirs.convert_id_to_token(weights)
    assert [list(one.items()) for one in named] == [list(one.items()) for one in expected]
    assert ours.convert_id_to_token(weights[:1]) == theirs.convert_id_to_token(weights[:1]) == named[0]
    assert ours.convert_id_to_token(weights[0]) == theirs.convert_id_to_token(weights[0]) == named[0]
    assert ours.convert_id_to_token([]) == theirs.convert_id_to_token([]) == []


# ── deliberate differences ────────────────────────────────────────────────────────────────────────────────────────────


@in_both_models
def test_results_own_their_memory_and_are_plain_numbers(folder: Path) -> None:
    """#20 and #22."""
    results = open_ours(folder).encode(["one text", "another one"])
    assert all(vectors.base is None or vectors.base.nbytes == vectors.nbytes for vectors in results["colbert_vecs"])
    assert {type(weight) for weights in results["lexical_weights"] for weight in weights.values()} == {float}
    assert json.loads(json.dumps(results["lexical_weights"])) == results["lexical_weights"]


@in_both_models
def test_inputs_that_flagembedding_does_not_take(folder: Path) -> None:
    """#4: no text, arrays and generators. #5: a pair among texts."""
    ours = open_ours(folder)
    nothing = ours.encode([])
    assert (nothing["dense_vecs"].shape, nothing["lexical_weights"], nothing["colbert_vecs"]) == ((0, 32), [], [])
    texts = ["a wing", "", "cooling delays"]
    expected = open_reference(folder, {}).encode(texts)
    for form in (
        tuple(texts),
        np.array(texts),
        np.array(texts, object),
        (text for text in texts),
        dict.fromkeys(texts).keys(),
    ):
        check_results(ours.encode(form), expected, lambda *_: None)
    with pytest.raises(TypeError, match=r"texts\[1\]"):
        ours.encode(["a", ("b", "c")])
    for wrong in (None, 7, b"text", {"a": 1}, {"a"}):
        with pytest.raises(TypeError):
            ours.encode(wrong)


@pytest.mark.parametrize("name", [XLMR])
def test_attributes_are_live(folder: Path) -> None:
    """#19: FlagEmbedding copies these two at construction."""
    ours = BGEM3FlagModel(str(folder), **OPTIONS, **ALL)
    for attribute, value in (("normalize_embeddings", False), ("pooling_method", "mean"), ("truncate_dim", 8)):
        setattr(ours, attribute, value)
    options = {"normalize_embeddings": False, "pooling_method": "mean", "truncate_dim": 8}
    texts = [TEXTS[label] for label in LABELS[:20]]
    check_results(ours.encode(texts), open_reference(folder, options).encode(texts), lambda *_: None)


def test_a_checkpoint_without_heads() -> None:
    """#18: FlagEmbedding invents random heads."""
    folder = find_checkpoint("tiny-xlmr")
    ours = BGEM3FlagModel(str(folder), **OPTIONS)
    texts = [TEXTS[label] for label in LABELS[:20]]
    theirs = open_reference(folder, {}).encode(texts, return_sparse=False, return_colbert_vecs=False)
    assert largest(of_vectors(ours.encode(texts)["dense_vecs"], theirs["dense_vecs"])) <= TOLERANCE
    for asked in ({"return_sparse": True}, {"return_colbert_vecs": True}):
        with pytest.raises(ValueError, match=r"sparse_linear\.pt and colbert_linear\.pt"):
            ours.encode(texts, **asked)
