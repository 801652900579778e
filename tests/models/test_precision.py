"""Our own operators: float32 from weights in 16 bits, bf16 and int8, on every kind of checkpoint."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker, _core
from bge_fast.errors import ModelNotFoundError
from tests.support.checkpoints import ROOT, SHARED, checkpoint, exported

HAS_BF16 = _core.instructions()[2] is not None
PRECISIONS = ["fp32", "int8", pytest.param("bf16", marks=pytest.mark.skipif(not HAS_BF16, reason="no bf16 here"))]
TINY = ["tiny-bert", "tiny-xlmr", "tiny-distilbert", "tiny-electra", "tiny-mpnet", "tiny-roberta"]
WORDS = "wing flow heat layer shock 机翼 Flügel données тело".split()
# Cosine of the vectors of tiny random weights to those in fp32; real ones are closer, as `test_cranfield` and the notes say.
CLOSE = {"fp32": 1 - 1e-12, "bf16": 0.999, "int8": 0.995}


def texts(count: int = 60) -> list[str]:
    random = np.random.default_rng(7)
    return [" ".join(random.choice(WORDS, int(random.integers(1, 90)))) for _ in range(count)]


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one.astype(float), other.astype(float)
    return (one * other).sum(axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_are_close_to_those_of_onnx_runtimes_operators(name, precision, pooling):
    folder = str(checkpoint(name))
    # With low_memory weights stay as they are, and ONNX Runtime's own operators multiply them.
    expected = FlagModel(folder, low_memory=True, pooling_method=pooling).encode(texts())
    model = FlagModel(folder, precision=precision, pooling_method=pooling)
    vectors = model.encode(texts())
    assert cosines(vectors, expected).min() >= CLOSE[precision]
    if precision == "fp32":
        assert np.abs(vectors - expected).max() <= 1e-6
    info = model.info()
    assert (info["precision"], bool(info["instructions"])) == (precision, True)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["tiny-bert", "tiny-xlmr", "tiny-mpnet"])
def test_a_text_has_the_same_bits_alone_in_any_batch_with_any_threads_and_callers(name, precision):
    folder = str(checkpoint(name))
    one, two = (FlagModel(folder, precision=precision, threads=threads) for threads in (1, 2))
    sentences = texts()
    alone = np.stack([two.encode(text) for text in sentences])
    assert np.array_equal(alone, two.encode(sentences))
    assert np.array_equal(alone, two.encode(sentences, batch_size=3))
    assert np.array_equal(alone, one.encode(sentences))
    assert np.array_equal(alone[::-1], one.encode(sentences[::-1] * 20)[: len(sentences)])
    with ThreadPoolExecutor(64) as pool:
        assert np.array_equal(alone, np.stack(list(pool.map(two.encode, sentences))))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_m3_has_all_outputs_of_one_pass(precision):
    folder = str(checkpoint("tiny-m3"))
    asked = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    expected = BGEM3FlagModel(folder, low_memory=True).encode(texts(), **asked)
    found = BGEM3FlagModel(folder, precision=precision).encode(texts(), **asked)
    assert cosines(found["dense_vecs"], expected["dense_vecs"]).min() >= CLOSE[precision]
    for ours, theirs in zip(found["colbert_vecs"], expected["colbert_vecs"], strict=True):
        assert cosines(ours, theirs).min() >= CLOSE[precision] - 0.01
    for ours, theirs in zip(found["lexical_weights"], expected["lexical_weights"], strict=True):
        assert max(abs(ours.get(token, 0) - theirs.get(token, 0)) for token in {*ours, *theirs}) <= 0.08


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "name", ["tiny-reranker", "tiny-reranker-bert", "tiny-reranker-mpnet", "tiny-reranker-distilbert"]
)
def test_scores_of_pairs(name, precision):
    folder = str(checkpoint(name))
    pairs = [(query, passage) for query in texts(4) for passage in texts(9)]
    expected = FlagReranker(folder, low_memory=True).compute_score(pairs)
    model = FlagReranker(folder, precision=precision)
    scores = model.compute_score(pairs)
    error, agreement = {"fp32": (1e-5, 1 - 1e-9), "bf16": (0.2, 0.999), "int8": (0.5, 0.99)}[precision]
    assert np.abs(np.subtract(scores, expected)).max() <= error
    assert np.corrcoef(scores, expected)[0, 1] >= agreement
    assert scores[5] == model.compute_score([pairs[5]])[0]


@pytest.fixture(scope="module")
def abstracts():
    """Abstracts, and their vectors of ONNX Runtime's operators with real weights."""
    folder = str(checkpoint("bge-small-en-v1.5"))
    lines = (SHARED / "cranfield" / "corpus.jsonl").read_text().splitlines()[:150]
    read = [json.loads(line)["text"] for line in lines]
    return folder, read, FlagModel(folder, low_memory=True).encode(read)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_real_weights_keep_their_neighbours(precision, abstracts):
    folder, read, expected = abstracts
    vectors = FlagModel(folder, precision=precision).encode(read)
    assert cosines(vectors, expected).min() >= {"fp32": 1 - 1e-9, "bf16": 0.99997, "int8": 0.9994}[precision]


def test_long_texts_and_empty_ones():
    folder = str(checkpoint("tiny-xlmr"))
    sentences = ["", "wing " * 3000, " ", "flow"]
    for precision in ("fp32", "int8"):
        expected = FlagModel(folder, low_memory=True).encode(sentences, max_length=500)
        vectors = FlagModel(folder, precision=precision).encode(sentences, max_length=500)
        assert cosines(vectors, expected).min() >= CLOSE[precision]


@pytest.mark.exported
def test_an_exported_graph_runs_as_it_is():
    folder = exported("tiny-bert")
    with pytest.raises(ModelNotFoundError, match=r"int8 is computed from a checkpoint\. Open .*tiny-bert"):
        FlagModel(str(folder), precision="int8")


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_cuda_has_other_precisions(precision):
    with pytest.raises(ValueError, match='is for the CPU; on CUDA devices use "fp16" or "fp32"'):
        FlagModel(str(checkpoint("tiny-bert")), devices="cuda:0", precision=precision)


LIMITED = """
import sys
import numpy as np
from bge_fast import FlagModel
for precision in ("fp32", "int8"):
    model = FlagModel(sys.argv[1], precision=precision)
    np.save(f"{sys.argv[2]}-{precision}.npy", model.encode(["wing flow heat", "shock " * 90]))
    print(model.info()["instructions"])
try:
    FlagModel(sys.argv[1], precision="bf16")
except ValueError as error:
    print(error)
"""


def limited(instructions: str, out: str) -> list[str]:
    environment = {**os.environ, "BGE_FAST_INSTRUCTIONS": instructions}
    command = [sys.executable, "-c", LIMITED, str(checkpoint("tiny-bert")), out]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return (run.stdout + run.stderr).splitlines()


def test_instructions_can_be_limited(tmp_path):
    vectors = {}
    for limit, expected in (("portable", [None, "portable"]), ("avx2", ["AVX2", "AVX2"])):
        fp32, int8, refused = limited(limit, str(tmp_path / limit))
        assert [fp32, int8] == [str(one) for one in expected] or int8 == "portable"
        assert refused.startswith('precision="bf16" needs a processor that multiplies bfloat16')
        vectors[limit] = np.load(tmp_path / f"{limit}-int8.npy")
    assert np.abs(vectors["portable"] - vectors["avx2"]).max() <= 1e-4
    *_, last = limited("mmx", str(tmp_path / "none"))
    assert last.startswith('ValueError: BGE_FAST_INSTRUCTIONS=mmx: "mmx" is none of portable, avx2')
