"""Vectors in fewer bits: numbers worked out by hand here, those of sentence-transformers in tests/kits."""

import numpy as np
import pytest

from bge_fast import quantize_embeddings

RANGES = np.array([[-127.5, 0], [127.5, 255]], np.float32)


def test_bytes_are_steps_from_the_least_number():
    vectors = np.array([[-127.5, 0], [127.5, 255], [0, 127.9]], np.float32)
    assert quantize_embeddings(vectors, "uint8", RANGES).tolist() == [[0, 0], [255, 255], [127, 127]]
    assert quantize_embeddings(vectors, "int8", RANGES).tolist() == [[-128, -128], [127, 127], [-1, -1]]


def test_numbers_beyond_the_ranges_become_the_nearest():
    vectors = np.array([[-999, -9], [999, 999]], np.float32)
    assert quantize_embeddings(vectors, "uint8", RANGES).tolist() == [[0, 0], [255, 255]]
    assert quantize_embeddings(vectors, "int8", RANGES).tolist() == [[-128, -128], [127, 127]]


def test_ranges_are_those_of_the_vectors_of_others_or_their_own():
    random = np.random.default_rng(7).standard_normal((300, 16)).astype(np.float32)
    own = quantize_embeddings(random, "int8")
    ranges = np.stack([random.min(axis=0), random.max(axis=0)])
    assert np.array_equal(own, quantize_embeddings(random, "int8", ranges))
    assert np.array_equal(own[:3], quantize_embeddings(random[:3], "int8", calibration_embeddings=random))
    assert own.min(axis=0).tolist() == [-128] * 16
    assert set(own.max(axis=0)) <= {126, 127}
    with pytest.warns(UserWarning, match="ranges of uint8 are those of 3 vectors alone"):
        quantize_embeddings(random[:3], "uint8")


def test_a_component_that_never_changes_is_no_division_by_zero():
    vectors = np.full((200, 2), 0.5, np.float32)
    assert not quantize_embeddings(vectors, "uint8").any()


def test_bits_are_packed_from_the_highest():
    vectors = np.array([[1, 0, -1, 2, 0.1, -0.1, 0, 3], [-1] * 7 + [1]], np.float32)
    bits = quantize_embeddings(vectors, "ubinary")
    assert (bits.tolist(), bits.dtype) == ([[0b10011001], [0b00000001]], np.uint8)
    signed = quantize_embeddings(vectors, "binary")
    assert (signed.tolist(), signed.dtype) == ([[0b10011001 - 128], [1 - 128]], np.int8)
    assert quantize_embeddings(np.ones((1, 9), np.float32), "ubinary").tolist() == [[255, 128]]


def test_float32_is_converted_and_no_vector_is_no_row():
    assert quantize_embeddings([[1.5]], "float32").dtype == np.float32
    assert quantize_embeddings(np.empty((0, 16), np.float32), "ubinary").shape == (0, 2)
    assert quantize_embeddings(np.empty((0, 2), np.float32), "int8").shape == (0, 2)


def test_a_memory_map_of_float16_is_quantized_block_by_block(tmp_path, monkeypatch):
    vectors = np.random.default_rng(7).standard_normal((300, 8)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    monkeypatch.setattr("bge_fast.models.quantization._ROWS", 64)
    stored = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    for precision in ("int8", "uint8", "binary", "ubinary"):
        expected = quantize_embeddings(vectors.astype(np.float32), precision)
        assert np.array_equal(quantize_embeddings(stored, precision), expected)


@pytest.mark.parametrize(
    ("vectors", "precision", "keywords", "message"),
    [
        ([[1.0]], "int4", {}, "precision must be one of"),
        ([1.0], "int8", {}, r"two dimensions, got the shape \(1,\)"),
        ([[1]], "int8", {}, "must be floats, got int64"),
        ([[1.0, 2.0]], "int8", {"ranges": [[0.0], [1.0]]}, r"ranges have the shape \(2, 1\)"),
        ([[1.0, 2.0]], "int8", {"ranges": [[0.0, 0.0], [np.nan, 1.0]]}, "ranges have a number that is not finite"),
        ([[1.0, 2.0], [1.0, np.inf]], "int8", {"ranges": RANGES}, r"embeddings\[1\] has a number that is not finite"),
        ([[1.0, 2.0]], "int8", {}, "only 1: pass ranges"),
        ([[1.0, 2.0]], "int8", {"ranges": [[0.0, 3.0], [1.0, 2.0]]}, "least number above the largest .* component 1"),
        (
            [[1.0]],
            "int8",
            {"calibration_embeddings": [[1.0], [np.nan]]},
            "^calibration_embeddings have a number that is",
        ),
    ],
)
def test_what_cannot_be_quantized_is_refused(vectors, precision, keywords, message):
    with pytest.raises((TypeError, ValueError), match=message):
        quantize_embeddings(vectors, precision, **keywords)
