"""What adapters take as a model, and what they write down of one."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.errors import ModelFormatError
from bge_fast.integrations.opening import described, open_embedder, open_m3, open_reranker
from tests.support.checkpoints import checkpoint

TEXTS = ["pressure above a wing", "热边界层", "heat"]
ADAPTERS = ", ".join(
    f"bge_fast.integrations.{name}"
    for name in (
        *("langchain", "langchain_qdrant", "llama_index", "haystack"),
        *("chroma", "milvus", "mteb", "ray", "sentence_transformers"),
    )
)


def test_a_name_and_its_keywords_open_what_the_class_opens(embedder: Any) -> None:
    model, keywords = embedder
    again = open_embedder(**keywords)
    assert type(again) is type(model)
    assert again.arguments() == model.arguments()


def test_an_embedder_is_opened_again_from_what_json_says_of_it(embedder: Any) -> None:
    model, _ = embedder
    model.query_max_length = 7  # attributes count as they are
    again = reopened(open_embedder, model)
    assert again.arguments() == model.arguments()
    assert again.query_max_length == 7
    for mine, its in (
        (again.encode_queries(TEXTS), model.encode_queries(TEXTS)),
        (again.encode(TEXTS), model.encode(TEXTS)),
    ):
        np.testing.assert_equal(mine, its)


def test_a_reranker_is_opened_again_from_what_json_says_of_it(reranker: Any) -> None:
    model, _ = reranker
    pairs = [(TEXTS[0], text) for text in TEXTS]
    assert reopened(open_reranker, model).compute_score(pairs) == model.compute_score(pairs)


def reopened(open_model: Any, model: Any) -> Any:
    said = json.loads(json.dumps(described(model)))
    return open_model(said["model"], said["model_class"], **said["arguments"])


def test_a_ready_model_is_taken_as_it_is(bert: FlagModel) -> None:
    assert open_embedder(bert) is bert
    with pytest.raises(TypeError, match="open already: pass model_class, precision where it is opened"):
        open_embedder(bert, "encoder-only-base", precision="int8")


@pytest.mark.parametrize("asked", [3, None, ["a"], FlagReranker])
def test_what_is_no_model_is_refused(asked: Any) -> None:
    with pytest.raises(TypeError, match="not a name, a folder or an embedder"):
        open_embedder(asked)


def test_a_model_of_another_kind_is_refused(bert: FlagModel) -> None:
    with pytest.raises(TypeError, match="not a name, a folder or a reranker"):
        open_reranker(bert)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no sparse vectors"):
        open_m3(bert)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'encoder-only-base' has no sparse vectors; 'encoder-only-m3' has"):
        open_m3(str(checkpoint("tiny-m3")), "encoder-only-base")


def test_a_decoder_of_no_known_name_says_what_to_pass() -> None:
    with pytest.raises(ModelFormatError) as caught:
        open_embedder(checkpoint("decoder-qwen2"))
    assert "pass model_class= one of" in caught.value.__notes__[0]
    assert "'decoder-only-base'" in caught.value.__notes__[0]


def test_a_class_of_somebodys_own_has_no_description() -> None:
    class Own(FlagModel):
        pass

    with pytest.raises(ValueError, match="keep it by pickle"):
        described(Own(str(checkpoint("tiny-bert"))))


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("bge_fast.integrations", ["numpy", "pydantic", "langchain_core", "llama_index", "haystack"]),
        (ADAPTERS, ["torch", "transformers", "sentence_transformers"]),
    ],
)
def test_what_adapters_bring_in(modules: str, absent: list[str]) -> None:
    code = f"import sys, {modules}; sys.exit(' '.join(set({absent}) & sys.modules.keys()) or None)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
