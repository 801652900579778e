"""ONNX Runtime's own operators in numpy, for onnx's reference evaluator: what graphs that no CPU runs are compared by."""

import itertools
import math

import numpy as np
from onnx.reference.op_run import OpRun

_DOMAIN = "com.microsoft"
_erf = np.vectorize(math.erf, otypes=[np.float32])


class FusedMatMul(OpRun):
    op_domain = _DOMAIN

    def _run(self, left, right, transB=0):
        return (left @ (right.T if transB else right),)


class SkipLayerNormalization(OpRun):
    op_domain = _DOMAIN

    def _run(self, values, skip, scale, shift, bias=None, epsilon=1e-12):
        total = values + skip + (0 if bias is None else bias)
        centred = total - total.mean(-1, keepdims=True)
        return (
            (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * scale + shift).astype(values.dtype),
        )


class BiasGelu(OpRun):
    op_domain = _DOMAIN

    def _run(self, values, bias):
        return (_gelu(values + bias),)


class Gelu(OpRun):
    op_domain = _DOMAIN

    def _run(self, values, approximate="none"):
        return (_gelu(values),)


class PackedMultiHeadAttention(OpRun):
    """It sees to it that the offsets are those of the texts: other kernels than the flash kernel read them."""

    op_domain = _DOMAIN

    def _run(self, query, key, value, bias, offsets, starts, num_heads=1):
        assert bias is None
        lengths = np.diff(starts)
        assert offsets.shape == (len(lengths), lengths.max(initial=0))
        rows = np.arange(offsets.size).reshape(offsets.shape)
        real = np.arange(offsets.shape[1]) < lengths[:, None]
        assert offsets.ravel().tolist() == [*rows[real], *rows[~real]]
        taken = np.full_like(value, np.nan)
        for start, end in itertools.pairwise(starts):
            heads = [part[start:end].reshape(end - start, num_heads, -1).swapaxes(0, 1) for part in (query, key, value)]
            scores = heads[0] @ heads[1].swapaxes(1, 2) / math.sqrt(heads[0].shape[2])
            weights = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
            weights /= weights.sum(-1, keepdims=True)
            taken[start:end] = (weights @ heads[2]).swapaxes(0, 1).reshape(end - start, -1)
        return (taken,)


OPERATORS = [FusedMatMul, SkipLayerNormalization, BiasGelu, Gelu, PackedMultiHeadAttention]


def _gelu(values):
    return (values * 0.5 * (1 + _erf(values / math.sqrt(2)))).astype(values.dtype)
