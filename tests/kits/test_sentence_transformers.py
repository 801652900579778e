"""The look-alikes beside sentence-transformers' own classes, and `BGEModule` inside one of these."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

real = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed: make test-kits")
import torch  # noqa: E402

from bge_fast import FlagModel  # noqa: E402
from bge_fast.integrations.sentence_transformers import BGEModule, CrossEncoder, SentenceTransformer  # noqa: E402
from tests.support.checkpoints import checkpoint  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
TEXTS = ["a wing of the plane in flow", "", "Der Flügel der Strömung", "wing wing the wing of a wing"]
PAIRS = [("wing", "the wing of the plane"), ("a", "flow in the wing"), ("heat", "wing")]
EMBEDDERS = ("tiny-bert", "tiny-xlmr", "tiny-mpnet", "tiny-distilbert", "tiny-m3")
RERANKERS = ("tiny-reranker", "tiny-reranker-bert", "tiny-reranker-mpnet")


@pytest.fixture(scope="module", params=EMBEDDERS)
def both(request: pytest.FixtureRequest) -> tuple[Any, SentenceTransformer]:
    folder = str(checkpoint(request.param))
    return real.SentenceTransformer(folder, device="cpu"), SentenceTransformer(folder)


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=2e-6)


# ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        *[
            (SentenceTransformer, real.SentenceTransformer, name)
            for name in ("encode", "encode_query", "encode_document", "similarity", "similarity_pairwise")
        ],
        (CrossEncoder, real.CrossEncoder, "predict"),
        (CrossEncoder, real.CrossEncoder, "rank"),
    ],
)
def test_methods_have_the_same_parameters(ours: type, theirs: type, name: str) -> None:
    def parameters(owner: type) -> list[tuple[str, Any, Any]]:
        found = inspect.signature(getattr(owner, name)).parameters.values()
        return [(one.name, one.kind, one.default) for one in found]

    assert parameters(ours) == parameters(theirs)


def test_constructor_arguments_are_taken_or_explained() -> None:
    for theirs, ours, name in (
        (real.SentenceTransformer, SentenceTransformer, "tiny-bert"),
        (real.CrossEncoder, CrossEncoder, "tiny-reranker-bert"),
    ):
        for option, default in list(inspect.signature(theirs).parameters.items())[1:]:
            ours(str(checkpoint(name)), **{option: default.default})


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_vectors_are_theirs(both: tuple[Any, SentenceTransformer]) -> None:
    theirs, ours = both
    close(ours.encode(TEXTS), theirs.encode(TEXTS))
    close(ours.encode("heat"), theirs.encode("heat"))
    for options in (
        {"prompt": "q: "},
        {"truncate_dim": 8},
        {"truncate_dim": 8, "normalize_embeddings": True},
        {"convert_to_tensor": True},
    ):
        close(ours.encode(TEXTS, **options), theirs.encode(TEXTS, **options))
    close(ours.encode_query(TEXTS), theirs.encode_query(TEXTS))
    assert isinstance(ours.encode(TEXTS, convert_to_tensor=True), torch.Tensor)
    assert [type(one) for one in ours.encode(TEXTS, convert_to_numpy=False)] == [torch.Tensor] * 4
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.max_seq_length == theirs.max_seq_length


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_quantized_vectors_are_theirs(both: tuple[Any, SentenceTransformer], precision: str) -> None:
    theirs, ours = (one.encode(TEXTS * 30, precision=precision) for one in both)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if precision.endswith("int8"):  # The last bit of a float32 may be a step.
        assert np.abs(ours.astype(int) - theirs).max() <= 1
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_theirs(both: tuple[Any, SentenceTransformer], name: str) -> None:
    theirs, ours = both
    theirs.similarity_fn_name = ours.similarity_fn_name = name
    one, other = theirs.encode(TEXTS), theirs.encode(TEXTS[1:])
    close(ours.similarity(one, other), theirs.similarity(one, other))
    close(ours.similarity_pairwise(one[1:], other), theirs.similarity_pairwise(one[1:], other))


def test_prompts_of_the_files_are_theirs(tmp_path: Path) -> None:
    saved = real.SentenceTransformer(
        str(checkpoint("tiny-bert")), device="cpu", prompts={"query": "q: ", "mine": "m: "}
    )
    saved.default_prompt_name = "mine"
    saved.save(str(tmp_path))
    theirs, ours = real.SentenceTransformer(str(tmp_path), device="cpu"), SentenceTransformer(str(tmp_path))
    assert ours.prompts == theirs.prompts
    for call in ("encode", "encode_query", "encode_document"):
        close(getattr(ours, call)(TEXTS), getattr(theirs, call)(TEXTS))
    assert not np.allclose(ours.encode(TEXTS), ours.encode_document(TEXTS), atol=1e-3)


@pytest.mark.parametrize("name", RERANKERS)
def test_scores_are_theirs(name: str) -> None:
    folder = str(checkpoint(name))
    theirs, ours = real.CrossEncoder(folder, device="cpu"), CrossEncoder(folder)
    close(ours.predict(PAIRS), theirs.predict(PAIRS))
    close(ours.predict(PAIRS[0]), theirs.predict(PAIRS[0]))
    for activation in (torch.nn.Identity(), torch.nn.Sigmoid(), torch.nn.Tanh()):
        close(ours.predict(PAIRS, activation_fn=activation), theirs.predict(PAIRS, activation_fn=activation))
    found, wanted = ours.rank("wing", TEXTS, 3, True), theirs.rank("wing", TEXTS, 3, True)
    assert [(one["corpus_id"], one["text"]) for one in found] == [(one["corpus_id"], one["text"]) for one in wanted]
    close([one["score"] for one in found], [one["score"] for one in wanted])


# ── BGEModule ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def model() -> FlagModel:
    return FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval="Find: ")


def test_a_module_makes_a_real_one(model: FlagModel) -> None:
    made = real.SentenceTransformer(modules=[BGEModule(model)], device="cpu", prompts={"title": "t: "})
    np.testing.assert_array_equal(made.encode(TEXTS, batch_size=1024), model.encode(TEXTS))
    np.testing.assert_array_equal(made.encode_query(TEXTS), model.encode_queries(TEXTS))
    np.testing.assert_array_equal(
        made.encode(TEXTS, prompt_name="title"), model.encode(["t: " + text for text in TEXTS])
    )
    assert made.encode(TEXTS, convert_to_tensor=True).dtype == torch.float32
    assert made.encode(TEXTS, precision="ubinary").shape == (4, 4)
    assert made.similarity(made.encode(TEXTS), made.encode(TEXTS)).shape == (4, 4)
    assert made.get_embedding_dimension() == 32


def test_a_module_is_saved_as_what_opens_it_again(model: FlagModel, tmp_path: Path) -> None:
    for name, module in (
        ("name", BGEModule(str(checkpoint("tiny-bert")), precision="int8")),
        ("model", BGEModule(model)),
    ):
        made = real.SentenceTransformer(modules=[module], device="cpu", prompts={"title": "t: "})
        made.save(str(tmp_path / name))
        again = real.SentenceTransformer(str(tmp_path / name), device="cpu", trust_remote_code=True)
        for call in ("encode", "encode_query"):
            np.testing.assert_array_equal(getattr(again, call)(TEXTS), getattr(made, call)(TEXTS))
