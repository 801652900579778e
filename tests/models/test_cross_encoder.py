"""`FlagReranker`: pairs assembled on ids, their scores, and what is refused."""

import math
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import AbsReranker, FlagReranker, NumericsError, Ranked
from bge_fast.errors import ModelFormatError
from tests.support.checkpoints import checkpoint, edit_json, exported
from tests.support.malformed import WEIGHTS, change_tensors, read_safetensors, safetensors

NAMES = ("tiny-reranker", "tiny-reranker-bert")
TEXTS = ["a wing in supersonic flow", "", "   ", "Der Flügel", "机翼在超音速气流中", "x" * 300, "boundary layer " * 300]
PAIRS = [(query, passage) for query in TEXTS for passage in TEXTS]
PROJECTION = {"tiny-reranker": "classifier.out_proj", "tiny-reranker-bert": "classifier"}


@pytest.fixture(scope="module", params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def reranker(name) -> FlagReranker:
    """An open tiny reranker that tests share; a test that assigns attributes opens its own."""
    return FlagReranker(str(checkpoint(name)))


@pytest.fixture
def own(name, tmp_path) -> Path:
    """A copy of the checkpoint that a test may change."""
    return shutil.copytree(checkpoint(name), tmp_path / name)


def assert_close(one: list[float], other: list[float], tolerance: float = 1e-5) -> None:
    assert type(one) is type(other) is list
    assert {type(score) for score in one + other} <= {float}
    assert np.abs(np.subtract(one, other)).max(initial=0) <= tolerance


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Contract 3.6 with max_length 10: query, passage, then the sequence of XLM-R and of BERT; `|` is a separator.
TABLE = [
    ("q1 q2 q3", "p1 p2 p3 p4 p5 p6 p7 p8 p9", "< q1 q2 q3 | | p1 p2 p3 |", "< q1 q2 q3 | p1 p2 p3 p4 |"),
    ("q1 q2 q3", "", "< q1 q2 q3 | | |", "< q1 q2 q3 | |"),
    ("", "p1 p2 p3 p4 p5 p6 p7 p8 p9", "< | | p1 p2 p3 p4 p5 p6 |", "< | p1 p2 p3 p4 p5 p6 p7 |"),
    ("", "", "< | | |", "< | |"),
    ("q1 q2 q3 q4 q5 q6 q7 q8 q9", "p1 p2", "< q1 q2 q3 q4 q5 q6 | | |", "< q1 q2 q3 q4 q5 q6 q7 | |"),
    ("q1 q2 q3 q4 q5 q6", "p1 p2", "< q1 q2 q3 q4 q5 q6 | | |", "< q1 q2 q3 q4 q5 q6 | p1 |"),
]


def single_tokens(model: FlagReranker, count: int) -> dict[str, int]:
    """Words that are one token each, with its id."""
    words = {}
    for token in range(len(model.tokenizer)):
        word = (model.tokenizer.convert_ids_to_tokens(token) or "").removeprefix("▁")
        if word.isascii() and word.isalpha() and model.tokenizer(word)["input_ids"][1:-1] == [token]:
            words[word] = token
    return dict(list(words.items())[:count])


def assembled(model: FlagReranker, query: list[int], passage: list[int], query_length: int, length: int) -> list[int]:
    """Contract 3.6, once more."""
    first, last = model.tokenizer.cls_token_id, model.tokenizer.sep_token_id
    between = [last, last] if model.info()["architecture"] == "xlm-roberta" else [last]
    specials = len(between) + 2
    query = query[:query_length][: max(0, length - specials)]
    return [first, *query, *between, *passage[: max(0, length - specials - len(query))], last]


@pytest.mark.parametrize("row", TABLE, ids=[f"{query or 'empty'}-{passage or 'empty'}" for query, passage, *_ in TABLE])
def test_each_row_of_the_contracts_table(reranker, name, row):
    words = single_tokens(reranker, 18)
    named = dict(zip([f"{side}{place}" for side in "qp" for place in range(1, 10)], words, strict=True))
    query, passage = (" ".join(named[word] for word in text.split()) for text in row[:2])
    specials = {"<": reranker.tokenizer.cls_token_id, "|": reranker.tokenizer.sep_token_id}
    wanted = [specials.get(token) or words.get(named.get(token, ""), 0) for token in row[2 + NAMES.index(name)].split()]
    ids, types = reranker._open().core.tokenize_pair(query, passage, 7, 10)
    assert ids == wanted
    if name == "tiny-reranker-bert":
        boundary = ids.index(specials["|"]) + 1
        assert list(types) == [0] * boundary + [1] * (len(ids) - boundary)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 8, 16, 64, 512])
def test_pairs_are_assembled_on_ids(reranker, length):
    core = reranker._open().core
    texts = [*TEXTS, "typed </s> <mask> [SEP] [CLS] <pad>", "e\u0301\u200b\ufeff\u00a0\U0001f6e9 \x00"]
    content = {text: reranker.tokenizer(text)["input_ids"][1:-1] for text in texts}
    for query in texts:
        for passage in texts:
            for query_length in (0, length * 3 // 4, 10_000):
                wanted = assembled(reranker, content[query], content[passage], query_length, length)
                assert core.tokenize_pair(query, passage, query_length, length)[0] == wanted


# ── scores ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_scores_are_independent_of_batches_and_order(reranker, batch_size):
    alone = [reranker.compute_score(pair)[0] for pair in PAIRS]
    assert len({round(score, 4) for score in alone}) > 20
    assert_close(reranker.compute_score(PAIRS, batch_size=batch_size), alone)
    assert_close(reranker.compute_score(PAIRS[::-1], batch_size=batch_size)[::-1], alone)


def test_the_forms_of_input(reranker):
    wanted = reranker.compute_score(PAIRS)
    assert_close(reranker.compute_score(PAIRS[0]), wanted[:1])
    assert_close(reranker.compute_score(list(PAIRS[0])), wanted[:1])
    assert_close(reranker.compute_score(np.array(PAIRS[0])), wanted[:1])
    for pairs in (tuple(PAIRS), iter(PAIRS), [list(pair) for pair in PAIRS], np.array(PAIRS), np.array(PAIRS, object)):
        assert_close(reranker.compute_score(pairs), wanted)
    for nothing in ([], (), iter([]), np.array([]), np.zeros((0, 2), dtype=object)):
        assert reranker.compute_score(nothing) == []


def test_normalize_by_argument_and_constructor(reranker, name):
    logits = reranker.compute_score(PAIRS)
    wanted = [1 / (1 + math.exp(-logit)) for logit in logits]
    assert_close(reranker.compute_score(PAIRS, normalize=True), wanted, 1e-12)
    model = FlagReranker(str(checkpoint(name)), normalize=True)
    assert_close(model.compute_score(PAIRS), wanted)
    assert_close(model.compute_score(PAIRS, normalize=False), logits)
    model.normalize = False
    assert_close(model.compute_score(PAIRS), logits)


@pytest.mark.parametrize(("bias", "probability"), [(-1000.0, 0.0), (1000.0, 1.0)])
def test_probabilities_of_extreme_logits_give_no_warning(own, name, bias, probability):
    change_tensors(own, lambda tensors: tensors.update({f"{PROJECTION[name]}.bias": np.full(1, bias, np.float32)}))
    model = FlagReranker(str(own))
    assert abs(model.compute_score(PAIRS[0])[0] - bias) < 10
    assert model.compute_score(PAIRS[0], normalize=True) == [probability]


def test_lengths(reranker, name):
    model = FlagReranker(str(checkpoint(name)), max_length=40, query_max_length=5)
    wanted = reranker.compute_score(PAIRS, max_length=40, query_max_length=5)
    assert_close(model.compute_score(PAIRS), wanted)
    model.query_max_length = None
    assert_close(model.compute_score(PAIRS), reranker.compute_score(PAIRS, max_length=40, query_max_length=30))
    assert_close(model.compute_score(PAIRS, max_length=20), reranker.compute_score(PAIRS, max_length=20))
    assert not np.allclose(wanted, reranker.compute_score(PAIRS, max_length=40), atol=1e-4)
    assert len(set(reranker.compute_score(PAIRS, max_length=1))) == 1
    assert_close(
        reranker.compute_score(PAIRS, query_max_length=10**12), reranker.compute_score(PAIRS, query_max_length=512)
    )


def test_a_length_over_the_limit_is_lowered_with_one_warning(reranker, name):
    model = FlagReranker(str(checkpoint(name)))
    with pytest.warns(UserWarning, match="max_length=8192.*512"):
        scores = model.compute_score(PAIRS, max_length=8192)
    assert_close(scores, model.compute_score(PAIRS, max_length=9000))
    assert_close(scores, reranker.compute_score(PAIRS))


def test_instructions_each_alone_and_both(reranker, name):
    folder = str(checkpoint(name))
    query, passage = "braces {} and 100%", "a passage"
    of_query = {"query_instruction_for_rerank": "Find: ", "query_instruction_format": r"<{}>\n{}"}
    of_passage = {"passage_instruction_for_rerank": "", "passage_instruction_format": "{}passage: {}"}
    for options, wanted in (
        (of_query, [f"<Find: >\n{query}", passage]),
        (of_passage, [query, f"passage: {passage}"]),
        (of_query | of_passage, [f"<Find: >\n{query}", f"passage: {passage}"]),
    ):
        model = FlagReranker(folder, **options)
        assert model.get_detailed_inputs([(query, passage)]) == [wanted]
        assert_close(model.compute_score((query, passage)), reranker.compute_score(wanted))
        assert_close(model.compute_score_single_gpu((query, passage)), reranker.compute_score((query, passage)))
    model.query_instruction_for_rerank = model.passage_instruction_for_rerank = None
    assert model.get_detailed_inputs(((query, passage),)) == [[query, passage]]
    assert FlagReranker.get_detailed_instruct(r"{}\n{}", "a", "b") == model.get_detailed_instruct(r"{}\n{}", "a", "b")


def test_fp16_weights_are_computed_in_fp32(own, name):
    half = {key: tensor.astype(np.float16) for key, tensor in read_safetensors(own / WEIGHTS).items()}
    rounded = shutil.copytree(own, own.parent / "rounded")
    (own / WEIGHTS).write_bytes(safetensors(half))
    (rounded / WEIGHTS).write_bytes(safetensors({key: tensor.astype(np.float32) for key, tensor in half.items()}))
    model = FlagReranker(str(own), use_fp16=True)
    assert_close(model.compute_score(PAIRS), FlagReranker(str(rounded)).compute_score(PAIRS))
    assert model.use_fp16 is True


@pytest.mark.exported
def test_an_exported_folder_gives_the_checkpoints_numbers(reranker, name):
    model = FlagReranker(str(exported(name)))
    assert (model.info()["kind"], model.info()["source"]) == ("reranker", "model folder")
    assert_close(model.compute_score(PAIRS), reranker.compute_score(PAIRS), 3e-5)


def test_on_one_device(reranker):
    wanted = reranker.compute_score(PAIRS, batch_size=4, query_max_length=9, max_length=30, normalize=True)
    assert_close(reranker.compute_score_single_gpu(PAIRS, 4, 9, 30, True), wanted)
    assert_close(reranker.compute_score_single_gpu(PAIRS[0], device="cpu"), reranker.compute_score(PAIRS[0]))
    with pytest.raises(ValueError, match="cuda:0"):
        reranker.compute_score_single_gpu(PAIRS, device="cuda:0")


def test_what_rank_cannot_take_is_named_before_anything_is_scored(reranker, monkeypatch):
    monkeypatch.setattr(reranker, "compute_score", None)
    for arguments, keywords, error, said in (
        (("q", ["p"]), {"topk": 1}, TypeError, r"rank\(\) got an unexpected keyword argument 'topk'"),
        (("q", ["p", {"text": "p"}]), {}, TypeError, r"passages\[1\] is dict"),
        (("q", ["p"]), {"top_k": 0}, ValueError, "top_k must be at least 1"),
    ):
        with pytest.raises(error, match=said):
            reranker.rank(*arguments, **keywords)


def test_rank_sorts_passages_best_first(reranker):
    passages = [*TEXTS, TEXTS[0]]
    scores = reranker.compute_score([("wing", passage) for passage in passages], normalize=True)
    ranked = reranker.rank("wing", iter(passages), normalize=True)
    assert isinstance(ranked[0], Ranked)
    assert_close([one.score for one in ranked], sorted(scores, reverse=True))
    assert_close([scores[one.position] for one in ranked], [one.score for one in ranked])
    assert [position for position, _ in reranker.rank("wing", ["flow"] * 3)] == [0, 1, 2]
    assert [one.position for one in reranker.rank("wing", passages, top_k=2)] == [one.position for one in ranked[:2]]
    assert len(reranker.rank("wing", passages, 99)) == len(passages)
    assert reranker.rank("wing", []) == []
    for arguments, error in (
        ((None, passages), TypeError),
        (("wing", passages, 0), ValueError),
        (("q", [None]), TypeError),
    ):
        with pytest.raises(error):
            reranker.rank(*arguments)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pairs", "error", "said"),
    [
        ("query", TypeError, r'\("query", "passage"\)'),
        (None, TypeError, "NoneType"),
        ({"a": "b"}, TypeError, "dict"),
        ({("a", "b")}, TypeError, "set"),
        (["one"], ValueError, "1 texts"),
        (["a", "b", "c"], ValueError, r"\[\(query, passage\).*3 texts"),
        ([("a", "b"), ("a",)], ValueError, r"pairs\[1\] has 1 texts"),
        ([("a", "b"), "cd"], TypeError, r"pairs\[1\] is str"),
        ([("a", "b"), 7], TypeError, r"pairs\[1\] is int"),
        ([("a", "b"), (None, "b")], TypeError, r"the query of pairs\[1\] is NoneType"),
        ([("a", "b"), ("a", b"c")], TypeError, r"the passage of pairs\[1\] is bytes"),
        ([("a", "b"), ("ab\ud800", "b")], ValueError, r"the query of pairs\[1\].*character 2"),
        ([("a", "b"), ("a", "\udfff")], ValueError, r"the passage of pairs\[1\].*character 0"),
        (np.zeros((1, 2, 2), dtype="U1"), ValueError, r"\(1, 2, 2\)"),
    ],
)
def test_bad_pairs_are_named(reranker, pairs, error, said):
    before = reranker.compute_score(PAIRS[0])
    for call in (reranker.compute_score, reranker.compute_score_single_gpu):
        with pytest.raises(error, match=said):
            call(pairs)
    assert reranker.compute_score(PAIRS[0]) == before


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"batch_size": 0}, ValueError, "batch_size.*0"),
        ({"batch_size": 2.0}, TypeError, r"batch_size.*2\.0"),
        ({"max_length": -1}, ValueError, "max_length.*-1"),
        ({"query_max_length": -2}, ValueError, "query_max_length.*-2"),
        ({"query_max_length": "8"}, TypeError, "query_max_length.*'8'"),
    ],
)
def test_bad_numbers_are_named_at_construction_and_at_the_call(reranker, name, arguments, error, said):
    with pytest.raises(error, match=said):
        reranker.compute_score(PAIRS, **arguments)
    with pytest.raises(error, match=said):
        FlagReranker(str(checkpoint(name)), **arguments)


def test_bad_formats_and_keywords_are_named(reranker, name):
    for option in ("query_instruction_format", "passage_instruction_format"):
        with pytest.raises(ValueError, match="leaves the text out"):
            FlagReranker(str(checkpoint(name)), **{option: "{}"})
    for call in (reranker.compute_score, reranker.compute_score_single_gpu):
        with pytest.raises(TypeError, match="truncation"):
            call(PAIRS, truncation=True)
    ignored = {"pad_to_multiple_of": 8, "padding_side": "left", "return_attention_mask": True, "verbose": False}
    assert_close(reranker.compute_score(PAIRS, **ignored), reranker.compute_score(PAIRS))


def two_labels(folder: Path) -> None:
    edit_json(folder / "config.json", id2label={"0": "no", "1": "yes"})


def two_rows(folder: Path) -> None:
    layer = PROJECTION[folder.name]
    edit_json(folder / "config.json", id2label=None)
    twice = {f"{layer}.weight": np.zeros((2, 32), np.float32), f"{layer}.bias": np.zeros(2, np.float32)}
    change_tensors(folder, lambda tensors: tensors.update(twice))


@pytest.mark.parametrize(("spoil", "said"), [(two_labels, "2 labels"), (two_rows, "2 outputs")])
def test_more_than_one_output_is_refused(own, spoil: Callable[[Path], None], said):
    spoil(own)
    with pytest.raises(ModelFormatError, match=f"{said}.*one, a score"):
        FlagReranker(str(own))


@pytest.mark.parametrize("other", ["tiny-bert", "tiny-xlmr", "tiny-m3"])
def test_a_model_without_the_head_is_refused(other):
    with pytest.raises(ModelFormatError, match=f"{other} is an embedder.*no classification head.*FlagModel"):
        FlagReranker(str(checkpoint(other)))


def test_a_score_that_is_not_finite_is_refused_by_the_pairs_place(own, name, reranker):
    words = "embeddings.word_embeddings.weight"
    key = next(key for key in read_safetensors(own / WEIGHTS) if key.endswith(words))
    word, token = next(iter(single_tokens(reranker, 1).items()))
    change_tensors(own, lambda tensors: tensors.update({key: with_infinite_row(tensors[key], token)}))
    model = FlagReranker(str(own))
    pairs = [("", ""), ("", "  "), ("", word), ("", "")]
    with pytest.raises(NumericsError, match=r"pairs\[2\]"):
        model.compute_score(pairs)
    assert_close(model.compute_score(pairs[:2]), reranker.compute_score(pairs[:2]))


def with_infinite_row(matrix: np.ndarray, row: int) -> np.ndarray:
    changed = matrix.copy()
    changed[row] = np.inf
    return changed


# ── the object ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_attributes_callers_read(reranker, name):
    folder = str(checkpoint(name))
    assert isinstance(reranker, AbsReranker)
    assert (reranker.model_name_or_path, reranker.use_fp16, reranker.kwargs) == (folder, False, {})
    assert (reranker.batch_size, reranker.max_length, reranker.query_max_length) == (128, 512, None)
    assert (reranker.target_devices, reranker.pool) == (["cpu"], None)
    assert reranker.model.config.hidden_size == 32
    reranker.model.config._name_or_path = "renamed"
    assert reranker.model.config._name_or_path == "renamed"
    assert reranker.stop_self_pool() is None
    assert reranker.stop_self_pool() is None
    assert reranker.info()["kind"] == "reranker"
    assert len(reranker.tokenizer) == reranker.model.config.vocab_size


def test_keywords_of_flagembeddings_other_classes_are_accepted_with_one_warning(name):
    foreign = {"use_bf16": True, "passage_max_length": 512, f"compress_layers_{name[-4:]}": [1]}
    with pytest.warns(UserWarning, match="compress_layers") as caught:
        model = FlagReranker(str(checkpoint(name)), **foreign)
    assert len(caught) == 1
    assert (model.kwargs, model.passage_max_length) == (foreign, 512)
    FlagReranker(str(checkpoint(name)), **foreign, device="cpu")


def test_pickles_as_path_and_options(name):
    model = FlagReranker(str(checkpoint(name)), query_instruction_for_rerank="q: ", normalize=True)
    model.max_length = 64
    stored = pickle.dumps(model)
    assert len(stored) < 3000
    assert_close(pickle.loads(stored).compute_score(PAIRS), model.compute_score(PAIRS))


def test_16_threads_with_all_methods_give_the_serial_numbers(reranker):
    calls: list[Callable[[], Any]] = [
        lambda: reranker.compute_score(PAIRS),
        lambda: reranker.compute_score(PAIRS[3]),
        lambda: reranker.compute_score(PAIRS, max_length=24, batch_size=3),
        lambda: reranker.compute_score_single_gpu(PAIRS[:9], normalize=True),
        lambda: [score for _, score in reranker.rank("wing", TEXTS)],
    ]
    serial = [call() for call in calls]

    def work(thread: int) -> None:
        for turn in range(8):
            place = (thread + turn) % len(calls)
            assert_close(calls[place](), serial[place])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))


def test_progress_bar_when_asked(reranker, capfd):
    reranker.compute_score(PAIRS, show_progress_bar=True)
    assert "49/49" in capfd.readouterr().err
    reranker.compute_score(PAIRS)
    assert capfd.readouterr().err == ""


def test_nothing_is_printed(name):
    code = (
        f"from bge_fast import FlagReranker; m = FlagReranker({str(checkpoint(name))!r})\n"
        "m.compute_score([('wing', f'flow {n}') for n in range(1000)], normalize=True)\n"
        "try: FlagReranker('/nowhere/at/all')\nexcept FileNotFoundError: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.slow
def test_memory_is_flat_over_many_calls_of_varying_length(reranker):
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    random = np.random.default_rng(7)

    def some_calls(count: int) -> None:
        for _ in range(count):
            reranker.compute_score([("wing", "flow " * int(length)) for length in random.integers(1, 400, 3)])

    some_calls(100)
    before = resident()
    some_calls(400)
    assert resident() - before <= 8 << 20
