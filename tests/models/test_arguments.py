"""What callers pass wrongly: named, cut where it is long, and of a class that is documented."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bge_fast import BGEM3FlagModel, FlagAutoModel, FlagModel, FlagReranker, SparseBatch
from bge_fast.commands.cli import main
from bge_fast.errors import DeviceError, ModelNotFoundError, quoted
from tests.support.checkpoints import checkpoint

BERT, M3, RERANKER = (str(checkpoint(name)) for name in ("tiny-bert", "tiny-m3", "tiny-reranker"))
LONG = "x" * 100_000
HUGE = 10**5000


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(M3, devices="cpu")


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    "value", [LONG, HUGE, [LONG], {LONG: 1}, Unshowable(), LONG.encode(), "\ud800" * 1000], ids=range(7)
)
def test_a_value_is_shown_in_a_line(value: Any) -> None:
    assert len(quoted(value)) <= 80


ECHOED: dict[str, Any] = {
    "name": FlagModel,
    "hub id": lambda value: FlagModel(f"org/{value}"),
    "auto": FlagAutoModel.from_finetuned,
    "model_class": lambda value: FlagAutoModel.from_finetuned(BERT, model_class=value),
    "devices": lambda value: FlagModel(BERT, devices=value),
    "device list": lambda value: FlagModel(BERT, devices=[value]),
    "device differs": lambda value: FlagModel(BERT, devices="cpu", device=value),
    "precision": lambda value: FlagModel(BERT, precision=value),
    "pooling": lambda value: FlagModel(BERT, pooling_method=value),
    "format": lambda value: FlagModel(BERT, query_instruction_format=value),
    "format with a field": lambda value: FlagModel(BERT, query_instruction_format="{" + str(value) + "}"),
    "on_truncate": lambda value: FlagModel(BERT, on_truncate=value),
    "threads": lambda value: FlagModel(BERT, threads=value),
    "truncate_dim": lambda value: FlagModel(BERT, truncate_dim=value),
    "batch_size": lambda value: FlagModel(BERT, batch_size=value),
    "length": lambda value: FlagModel(BERT, query_max_length=value),
    "colbert_dim": lambda value: BGEM3FlagModel(M3, colbert_dim=value),
}


@pytest.mark.parametrize("where", ECHOED)
@pytest.mark.filterwarnings("ignore")
def test_messages_repeat_little_of_a_value(where: str) -> None:
    with pytest.raises((TypeError, ValueError, NotImplementedError, ModelNotFoundError)) as caught:
        ECHOED[where](LONG)
    assert len(str(caught.value)) < 1300
    assert "xxxxxxxx" in str(caught.value)
    assert LONG[:300] not in str(caught.value)


@pytest.mark.parametrize("words", [["{}"], ["embed", "{}"], ["embed", "m", "-o", "{}"], ["embed", "m", "--{}"],
    ["embed", "m", "--device", "{}"], ["embed", "m", "--threads", "{}"], ["embed", "m", "--pooling", "{}"],
    ["embed", "m", "{}"], ["info", "{}"], ["search", "m", "--passages", "{}"]])  # fmt: skip
@pytest.mark.parametrize("long", [LONG, "9" * 10_000, "a b " * 10_000])
def test_lines_repeat_little_of_a_word(words: list[str], long: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.format(long) for word in words]) in (1, 2)
    assert len(capsys.readouterr().err) < 4000


NUMBERS = {"threads": FlagModel, "batch_size": FlagModel, "truncate_dim": FlagModel, "query_max_length": FlagModel,
           "passage_max_length": FlagModel, "colbert_dim": BGEM3FlagModel, "max_length": FlagReranker}  # fmt: skip
NO_NUMBERS = ["x", 1.5, int, np.array([1, 2]), np.array([]), np.float32(1), pd.NA, True, [1], b"1"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_named(name: str, value: Any) -> None:
    folder = {FlagModel: BERT, BGEM3FlagModel: M3, FlagReranker: RERANKER}[NUMBERS[name]]
    with pytest.raises(TypeError, match=f"{name} must be an integer, got "):
        NUMBERS[name](folder, **{name: value})


FLAGS = {"normalize_embeddings": FlagModel, "use_fp16": FlagModel, "low_memory": FlagModel, "convert_to_numpy": FlagModel,
         "return_dense": BGEM3FlagModel, "normalize": FlagReranker}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [pd.NA, np.array([]), np.array([True, False])], ids=repr)
def test_what_is_neither_true_nor_false_is_named(name: str, value: Any) -> None:
    folder, call = {
        FlagModel: (BERT, lambda model: model.encode("x")),
        BGEM3FlagModel: (M3, lambda model: model.encode("x")),
        FlagReranker: (RERANKER, lambda model: model.compute_score(("a", "b"))),
    }[FLAGS[name]]
    with pytest.raises(TypeError, match=f"{name} must be True or False"):
        call(FLAGS[name](folder, **{name: value}))


@pytest.mark.parametrize("threads", [1025, 10**5, 2**31, 10**400, HUGE], ids=quoted)
def test_too_many_threads_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="threads must be at most 1024"):
        FlagModel(BERT, threads=threads)


@pytest.mark.parametrize(
    ("value", "threads"),
    [
        ("1", 1),
        ("3", 3),
        (" 2 ", 2),
        ("2,4", 2),
        ("0", None),
        ("-1", None),
        ("many", None),
        ("", None),
        ("²", None),
        ("9" * 5000, None),
    ],
)
def test_the_usual_variable_sets_the_threads(monkeypatch: pytest.MonkeyPatch, value: str, threads: int | None) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usual = FlagModel(BERT, devices="cpu").info()["threads"]
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert FlagModel(BERT, devices="cpu").info()["threads"] == (threads or usual)
    assert FlagModel(BERT, devices="cpu", threads=2).info()["threads"] == 2


def test_a_device_that_cannot_be_had_names_the_argument() -> None:
    with pytest.raises(DeviceError, match='devices="cuda:0": '):
        FlagModel(BERT, devices=0)


@pytest.mark.parametrize("value", [5, "abc", [1, "x", 1], [1, None, 1], [1, 10**400, 1], pd.NA], ids=quoted)
def test_weights_of_modes_are_named(m3: BGEM3FlagModel, value: Any) -> None:
    with pytest.raises(TypeError, match="weights_for_different_modes must be three numbers"):
        m3.compute_score(("a", "b"), weights_for_different_modes=value)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda m3: m3.convert_id_to_token({-1: 1.0}), ValueError, "-1 is not the id of a token"),
        (lambda m3: m3.convert_id_to_token({2**40: 1.0}), ValueError, "is not the id of a token"),
        (lambda m3: m3.convert_id_to_token({"x": 1.0}), ValueError, "'x' is not the id of a token"),
        (lambda m3: m3.convert_id_to_token(["a"]), TypeError, r"lexical_weights\[0\] is str"),
        (lambda m3: m3.convert_id_to_token(5), TypeError, "lexical_weights is int"),
        (lambda m3: m3.compute_lexical_matching_score("a", "a"), TypeError, "lexical_weights_1 is str"),
        (lambda m3: m3.compute_lexical_matching_score([{}], ["a"]), TypeError, r"lexical_weights_2\[0\] is str"),
        (
            lambda m3: m3.compute_lexical_matching_score({"1": 10**400}, {"1": 1}),
            ValueError,
            "weight of '1' is not a number",
        ),
        (
            lambda m3: m3.compute_lexical_matching_score({"1": None}, {"1": 1}),
            ValueError,
            "weight of '1' is not a number",
        ),
        (lambda _: SparseBatch.concat("x"), TypeError, r"batches\[0\] is str, not SparseBatch"),
    ],
)
def test_what_is_no_weight_is_named(m3: BGEM3FlagModel, call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call(m3)


@pytest.mark.skipif(os.getuid() != 0, reason="needs an ordinary user to become")
@pytest.mark.parametrize("hidden", [".", "1_Pooling", "config.json"])
def test_what_may_not_be_read_is_told(own_checkpoint: Path, hidden: str) -> None:
    (own_checkpoint / hidden).chmod(0)
    for folder in own_checkpoint.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    code = (
        "import json, os, sys; from bge_fast import FlagModel; from bge_fast.errors import BGEFastError; import bge_fast.opening.engine\n"
        "os.setuid(65534)\n"
        "try: FlagModel(sys.argv[1])\n"
        "except BGEFastError as error: print(json.dumps(str(error)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(own_checkpoint)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Permission denied" in json.loads(ended.stdout)


def test_arguments_open_an_equal_model(tmp_path: Path) -> None:
    model = FlagModel(
        BERT, pooling_method="mean", devices="cpu", cache_dir=tmp_path, passage_instruction_for_retrieval="P: "
    )
    model.passage_max_length = 9
    kept = json.loads(json.dumps(model.arguments()))
    assert kept["cache_dir"] == str(tmp_path)
    assert "truncate_dim" not in kept, "None is its default"
    again = FlagModel(BERT, **kept)
    assert again.arguments() == model.arguments()
    assert np.array_equal(again.encode_corpus(["a b c " * 9]), model.encode_corpus(["a b c " * 9]))
