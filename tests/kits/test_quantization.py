"""Quantized vectors have the numbers of sentence-transformers, for each of its precisions."""

import warnings

import numpy as np
import pytest

from bge_fast import quantize_embeddings

theirs = pytest.importorskip("sentence_transformers.quantization")
VECTORS = np.random.default_rng(7).standard_normal((400, 64)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("rows", [1, 400])
def test_numbers_and_types_are_theirs(precision, rows):
    vectors = VECTORS[:rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keywords in ({"calibration_embeddings": VECTORS}, {"ranges": np.stack([VECTORS.min(0), VECTORS.max(0)])}):
            expected = theirs.quantize_embeddings(vectors, precision, **keywords)
            found = quantize_embeddings(vectors, precision, **keywords)
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
