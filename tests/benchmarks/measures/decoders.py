"""Decoders at the shape of bge-reranker-v2-gemma with random weights in bf16: pairs in each precision, beside FlagEmbedding."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import random_decoder
from fleet import FLAG_EMBEDDING, OURS, OURS_BF16, OURS_INT8, Fleet
from report import Result

from measures import Plan
from measures.shapes import at_shape

_ENTRIES = tuple(
    replace(entry, competitor=f"rerankers.{name}")
    for entry, name in (
        (OURS, "OursDecoder"),
        (OURS_BF16, "OursDecoderBf16"),
        (OURS_INT8, "OursDecoderInt8"),
        (FLAG_EMBEDDING, "FlagEmbeddingDecoder"),
    )
)
_WORDS = (256_000, 32_000)
_PAIRS = 8
# With the prompt behind it a pair has 256 tokens and few more: the small tokenizer makes one of two syllables.
_QUERY, _PASSAGE = 6, 66


def measure(fleet: Fleet, plan: Plan) -> Result:
    result = Result("Decoders: bge-reranker-v2-gemma's shape, random weights in bf16")
    result.header = ("", "", "pairs a second", "speed", "peak memory, MB")
    source = Random(256)
    query = _words(source, _QUERY)
    pairs: list[object] = [[query, _words(source, _PASSAGE)] for _ in range(_PAIRS)]
    for words in _WORDS:
        shape = random_decoder.gemma(plan.decoder_layers, words)
        folder = random_decoder.make(fleet.logs / f"gemma-{shape.layers}-{words}", shape)
        name = f"{shape.layers} layers, {words:,} words"
        at_shape(fleet, plan, result, name, folder, _ENTRIES, {"pairs": pairs})
    result.notes.append(
        f"{plan.shape_rounds} interleaved rounds: medians, and medians of the rounds' ratios to the first row, larger is faster. "
        "FlagEmbedding computes in float32, with the whole vocabulary for each token."
    )
    return result


def _words(source: Random, count: int) -> str:
    syllables = [one + other for one in "bcdfghjklm" for other in "aeiou"]
    return " ".join("".join(source.choices(syllables, k=2)) for _ in range(count))
