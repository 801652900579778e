"""What type checkers know: programs that are right pass `mypy --strict`, and each mistake is an error of its line."""

import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bge_fast

GOOD = """
from collections import defaultdict
from typing import TYPE_CHECKING, assert_type

import numpy as np

from bge_fast import (
    BGEM3FlagModel,
    ColbertBatch,
    EmbedderModelClass,
    FlagAutoModel,
    FlagAutoReranker,
    FlagICLModel,
    FlagLLMModel,
    FlagModel,
    FlagReranker,
    LightWeightFlagLLMReranker,
    M3Vectors,
    ModelNotFoundError,
    Ranked,
    SparseBatch,
    list_models,
    quantize_embeddings,
)
from bge_fast.models.shapes import M3Output

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]

model = FlagModel("folder", use_fp16=False, devices="cpu", query_instruction_for_retrieval="query: ", threads=2,
                  passage_instruction_for_retrieval="passage: ")
assert_type(model.encode("one"), Vector)
assert_type(model.encode(["one", "two"]), Matrix)
assert_type(model.encode((text for text in ["one"]), batch_size=8, show_progress_bar=False, instruction="x"), Matrix)
assert_type(model.encode_queries("one", 8, 512, True), Vector)
assert_type(model.encode_corpus({"one": 1}.keys(), max_length=64, verbose=False), Matrix)
def either(as_numpy: bool) -> None:
    model.encode(["one"], convert_to_numpy=as_numpy)
    assert model.encode(["one"], None, None, False).shape == (1, 384)
async def awaited() -> None:
    assert_type(await model.aencode("one"), Vector)
    assert_type(await model.aencode_queries(["one"], 8, max_length=64), Matrix)
    assert_type(await m3.aencode(["one"]), M3Output)
    assert_type(await m3.aencode_vectors("one", colbert=True), M3Vectors)
    assert_type(await reranker.acompute_score([("query", "passage")], normalize=True), list[float])
    assert_type(await reranker.arank("query", ["passage"], 3), list[Ranked])
for block in model.encode_iter(iter(["one"]), max_length=64, block_size=8):
    assert_type(block, Matrix)
half = np.empty((1, 384), np.float16)
assert_type(model.encode(["one"], out=half), np.ndarray[tuple[int, int], np.dtype[np.float16]])
assert_type(model.stats()["truncated"], int)
assert_type(model.count_tokens(["one"]), list[int])
assert_type(list_models()[0].dimension, int | None)
quantize_embeddings(half, "int8", calibration_embeddings=half)
assert_type(model.tokenizer("one")["input_ids"], list[int])
assert_type(model.tokenizer(["one"])["input_ids"], list[list[int]])
assert_type(model.tokenizer.cls_token_id, int | None)
assert_type(model.info()["dimension"], int)
assert_type(model.info()["pooling_method"], str)
with FlagModel("folder") as opened:
    assert_type(opened, FlagModel)

m3 = BGEM3FlagModel("folder", return_sparse=True)
one, many = m3.encode("one", return_colbert_vecs=True), m3.encode_queries(["one"])
assert_type(one["dense_vecs"], Vector | None)
assert_type(one["colbert_vecs"], Matrix | None)
assert_type(many["dense_vecs"], Matrix | None)
assert_type(many["lexical_weights"], list[defaultdict[str, float]] | None)
assert_type(m3.encode_vectors(["one"]), M3Vectors)
assert_type(m3.encode_vectors(["one"]).sparse, SparseBatch | None)
assert_type(m3.encode_vectors(["one"]).colbert, ColbertBatch | None)
assert_type(m3.compute_score(("query", "passage"))["sparse+dense"], float)
assert_type(m3.compute_score([("query", "passage")])["dense"], list[float])
assert_type(m3.compute_lexical_matching_score({"5": 0.5}, {"5": 0.5}), float)

reranker = FlagReranker("folder", normalize=True)
assert_type(reranker.compute_score([("query", "passage"), ("query", "other")]), list[float])
assert_type(reranker.compute_score([["query", "passage"]]), list[float])
assert_type(reranker.compute_score(("query", "passage"), batch_size=8), list[float])
assert_type(reranker.rank("query", ["passage"], top_k=1, normalize=True), list[Ranked])

assert_type(FlagAutoModel.from_finetuned("x", model_class="encoder-only-base", batch_size=8), FlagModel)
assert_type(FlagAutoModel.from_finetuned("x", EmbedderModelClass.ENCODER_ONLY_M3), BGEM3FlagModel)
assert_type(FlagAutoModel.from_finetuned("BAAI/bge-m3"), FlagModel | BGEM3FlagModel | FlagLLMModel | FlagICLModel)
FlagAutoReranker.from_finetuned("x", max_length=256).rank("query", ["passage"])

icl = FlagICLModel("folder", examples_for_task=[{"query": "one", "response": "two"}], suffix="", truncate_dim=8)
assert_type(icl.encode_queries(["one"]), Matrix)
icl.set_examples([{"query": "one"}])
light = LightWeightFlagLLMReranker("folder", cutoff_layers=[28], compress_ratio=2, compress_layers=[24, 40])
light.compute_score(("query", "passage"), cutoff_layers=28, prompt="", normalize=True)
assert_type(light.rank("query", ["passage"], cutoff_layers=28), list[Ranked])
try:
    pass
except ModelNotFoundError:
    pass
"""

# Each line is a mistake.
BAD = """
from bge_fast import FlagModle
import bge_fast; bge_fast.FlagModle
from bge_fast import BGEM3FlagModel, FlagAutoModel, FlagModel, FlagReranker; model = FlagModel("folder"); model.encod("x")
FlagModel("folder", use_pf16=False)
FlagModel("folder", pooling_method=3)
FlagModel()
model.encode(3)
model.encode([3])
model.encode(b"bytes")
model.encode("one", batchsize=8)
model.encode_queries("one", instruction="x")
model.encode_corpus(None)
model.encode("one") + "text"
model.tokenizer.cls_tokn
model.info()["dimensions"]
BGEM3FlagModel("folder", return_sparce=True)
BGEM3FlagModel("folder").encode("one")["dense"]
BGEM3FlagModel("folder").encode("one")["dense_vecs"].shape
BGEM3FlagModel("folder").encode_vectors("one", sparce=True)
BGEM3FlagModel("folder").compute_score("one")
FlagReranker("folder", normalise=True)
FlagReranker("folder").compute_score("query and passage")
FlagReranker("folder").compute_score([("query", "passage")], normalise=True)
FlagReranker("folder").rank("query", ["passage"], topk=3)
FlagAutoModel.from_finetuned("x", batchsize=8)
from bge_fast import FlagICLModel, FlagLLMReranker; FlagICLModel("folder", sufix="x")
FlagLLMReranker("folder").compute_score(("query", "passage"), normalise=True)
model.aencode("one", batchsize=8)
model.encode_iter(["one"], show_progress_bar=True)
model.stats()["text"]
import bge_fast as b; b.quantize_embeddings([[0.5]], "int4")
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """Lines with errors, of both programs."""
    place = tmp_path_factory.mktemp("typed")
    programs = {"good": GOOD, "bad": BAD}
    for name, text in programs.items():
        (place / f"{name}.py").write_text(text.removeprefix("\n"))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "--no-error-summary"]
    ended = subprocess.run(
        [*command, *(f"{name}.py" for name in programs)], cwd=place, capture_output=True, text=True, check=False
    )
    assert not ended.stderr, ended.stderr
    errors = re.findall(r"^(\w+)\.py:(\d+): error: (.*)", ended.stdout, re.MULTILINE)
    assert {name for name, _, _ in errors} <= programs.keys(), ended.stdout
    return {name: {int(line) for file, line, _ in errors if file == name} for name in programs}


@pytest.mark.slow
def test_a_program_that_is_right_passes(found):
    assert found["good"] == set()


@pytest.mark.slow
def test_every_mistake_is_an_error_of_its_line(found):
    assert found["bad"] == set(range(1, len(BAD.strip().splitlines()) + 1))


def test_type_checkers_are_told_the_names_of_run_time():
    text = Path(bge_fast.__file__).read_text()
    imported = re.findall(r"^    from bge_fast\.([\w.]+) import (\w+) as \2$", text, re.MULTILINE)
    assert [name for _, name in imported] == bge_fast.__all__[1:]
    for module, name in imported:
        assert getattr(bge_fast, name) is getattr(sys.modules[f"bge_fast.{module}"], name)


def test_nothing_public_gives_an_any():
    functions = [
        (name, function) for name in bge_fast.__all__ for function in public_functions(getattr(bge_fast, name))
    ]
    assert len(functions) > 50
    assert [f"{name}: {function.__qualname__}" for name, function in functions if gives_any(function)] == []


def public_functions(thing: Any) -> Iterator[Callable[..., Any]]:
    if inspect.isfunction(thing):
        yield thing
    if inspect.isclass(thing) and thing.__module__.startswith("bge_fast"):
        for name, member in inspect.getmembers_static(thing):
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if not name.startswith("_") and inspect.isfunction(function) and function.__module__.startswith("bge_fast"):
                yield function


def gives_any(function: Callable[..., Any]) -> bool:
    """Whether it, or one of its overloads, is annotated to give `Any`, alone or within; arrays may have any shape."""
    signatures = typing.get_overloads(function) or [function]
    return any(
        "Any" in re.sub(r"ndarray\[[^]]*Any[^]]*\]", "ndarray", str(one.__annotations__["return"]))
        for one in signatures
    )
