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


class RestorePadding(OpRun):
    """Each token where its offset says, and zeros where no token is."""

    op_domain = _DOMAIN

    def _run(self, values, offsets):
        padded = np.zeros((offsets.size, values.shape[1]), values.dtype)
        padded[offsets.ravel()[: len(values)]] = values
        return (padded.reshape(*offsets.shape, -1),)


class SimplifiedLayerNormalization(OpRun):
    """Of no domain: it has none in ONNX Runtime either."""

    op_domain = ""

    def _run(self, values, scale, axis=-1, epsilon=1e-5, stash_type=1):
        root = np.sqrt((values**2).mean(-1, keepdims=True) + np.float32(epsilon))
        return ((values / root * scale).astype(values.dtype),)


class RotaryEmbedding(OpRun):
    """The evaluator gives it the attributes that ONNX's operator of this name has, too."""

    op_domain = _DOMAIN

    def _run(self, values, first, cosines, sines, interleaved=0, num_heads=0, rotary_embedding_dim=0):
        assert not interleaved
        assert not num_heads
        assert not rotary_embedding_dim
        assert first.tolist() == [0]
        texts, length, width = values.shape
        half = cosines.shape[1]
        heads = values.reshape(texts, length, width // (2 * half), 2, half)
        cosines, sines = (table[:length, None] for table in (cosines, sines))
        left, right = heads[:, :, :, 0], heads[:, :, :, 1]
        turned = np.stack([left * cosines - right * sines, right * cosines + left * sines], axis=3)
        return (turned.reshape(values.shape),)


class QuickGelu(OpRun):
    op_domain = _DOMAIN

    def _run(self, values, alpha=1.702):
        return ((values / (1 + np.exp(-alpha * values))).astype(values.dtype),)


class FastGelu(OpRun):
    op_domain = _DOMAIN

    def _run(self, values):
        inner = math.sqrt(2 / math.pi) * (values + 0.044715 * values**3)
        return ((0.5 * values * (1 + np.tanh(inner))).astype(values.dtype),)


class GroupQueryAttention(OpRun):
    """Without a past. All texts must be told to be as long as they are padded to: else the kernel counts from the end."""

    op_domain = _DOMAIN

    def _run(
        self,
        query,
        key,
        value,
        past_key,
        past_value,
        last_places,
        length,
        num_heads=1,
        kv_num_heads=1,
        scale=0.0,
        softcap=0.0,
        local_window_size=-1,
    ):
        texts, longest, _ = query.shape
        assert past_key is past_value is None
        assert length.tolist() == [longest]
        assert last_places.tolist() == [longest - 1] * texts
        asking, keys, values = (
            part.reshape(texts, longest, heads, -1).swapaxes(1, 2)
            for part, heads in ((query, num_heads), (key, kv_num_heads), (value, kv_num_heads))
        )
        asked = [np.repeat(part, num_heads // kv_num_heads, axis=1) for part in (keys, values)]
        scores = asking @ asked[0].swapaxes(2, 3) * np.float32(scale)
        if softcap:
            scores = softcap * np.tanh(scores / softcap)
        distance = np.subtract.outer(np.arange(longest), np.arange(longest))
        seen = (distance >= 0) & (distance < (local_window_size if local_window_size > 0 else longest))
        weights = np.exp(np.where(seen, scores - scores.max(-1, keepdims=True), -np.inf))
        taken = weights / weights.sum(-1, keepdims=True) @ asked[1]
        return taken.swapaxes(1, 2).reshape(query.shape).astype(query.dtype), keys, values


OPERATORS = [
    FusedMatMul,
    SkipLayerNormalization,
    BiasGelu,
    Gelu,
    PackedMultiHeadAttention,
    RestorePadding,
    SimplifiedLayerNormalization,
    RotaryEmbedding,
    QuickGelu,
    FastGelu,
    GroupQueryAttention,
]


def _gelu(values):
    return (values * 0.5 * (1 + _erf(values / math.sqrt(2)))).astype(values.dtype)
