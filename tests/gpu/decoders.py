"""Decoder-only models: tiny ones beside the CPU's float32 in every precision, which kernel computes attention, and the time of a reranker
of 2 G weights."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from models import CHECKPOINTS, FLOPS_AT_BEST, save, text_of, texts_of
from results import Results, parse
from speed import timed

from bge_fast import (
    BGEFastError,
    FlagICLModel,
    FlagLLMModel,
    FlagLLMReranker,
    LayerWiseFlagLLMReranker,
    LightWeightFlagLLMReranker,
)

# Least cosine, and largest difference of a score beside the largest one. The tiny models are harder than real ones.
COSINE = {"fp32": 0.999999, "fp16": 0.9999, "bf16": 0.998}
SCORE = {"fp32": 1e-3, "fp16": 0.02, "bf16": 0.1}
WORDS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 200)
_EMBEDDERS = ("decoder-mistral", "decoder-qwen2", "decoder-qwen3", "decoder-gemma2")
_RERANKERS: dict[str, Any] = {
    "decoder-reranker-gemma": FlagLLMReranker,
    "decoder-reranker-llama": FlagLLMReranker,
    "decoder-layerwise": LayerWiseFlagLLMReranker,
    "decoder-lightweight": LightWeightFlagLLMReranker,
}
_EXAMPLES = [{"instruct": "Find it", "query": text_of(30, 1), "response": text_of(40, 2)}]
# Layers, width, heads, heads that are asked, numbers of a head, inner width, words: bge-reranker-v2-gemma's and a tiny one's.
_GEMMA = (18, 2048, 8, 1, 256, 16_384, 256_000)
_TINY = (2, 64, 4, 1, 16, 128, 2_000)
_PAIRS = 100
_PASSAGE_WORDS = 60
_BLOCK = 4_194_301
_KERNELS = """
import sys
from bge_fast import FlagLLMModel
FlagLLMModel(sys.argv[1], devices=sys.argv[2], precision=sys.argv[3]).encode(["a wing", "heat of a plate"] * 3)
"""


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "decoders")
    precisions = ("fp32",) if options.dry else ("fp32", "fp16", "bf16")
    for precision in precisions:
        for name in _EMBEDDERS:
            guarded(embedder, results, options, name, precision)
        guarded(examples, results, options, "decoder-mistral", precision)
        for name in _RERANKERS:
            guarded(reranker, results, options, name, precision)
    for name in ("decoder-qwen3", "decoder-gemma2"):
        for precision in precisions:
            kernels(results, options, name, precision)
    for precision in precisions[:1] if options.dry else ("fp16", "bf16"):
        guarded(large, results, options, "gemma", precision)
    results.end()


def guarded(part: Any, results: Results, options: argparse.Namespace, name: str, precision: str) -> None:
    """A model that fails leaves the others readable."""
    try:
        part(results, options, name, precision)
    except BGEFastError as error:
        results.add(False, model=name, precision=precision, error=str(error)[:300])


def embedder(results: Results, options: argparse.Namespace, name: str, precision: str) -> None:
    """Texts of one call, and each alone."""
    texts = texts_of([words + 2 for words in WORDS])
    expected = FlagLLMModel(str(CHECKPOINTS / name), devices="cpu").encode(texts)
    model = FlagLLMModel(str(CHECKPOINTS / name), devices=options.device, precision=precision)
    alone = np.stack([model.encode(text) for text in texts])
    for form, found in {"together": model.encode(texts), "one by one": alone}.items():
        cosines(results, name, precision, form, found, expected)


def examples(results: Results, options: argparse.Namespace, name: str, precision: str) -> None:
    """Queries behind examples."""
    texts = texts_of([words + 2 for words in WORDS])
    folder, asked = str(CHECKPOINTS / name), {"examples_for_task": _EXAMPLES}
    expected = FlagICLModel(folder, devices="cpu", **asked).encode_queries(texts)
    found = FlagICLModel(folder, devices=options.device, precision=precision, **asked).encode_queries(texts)
    cosines(results, name, precision, "with examples", found, expected)


def cosines(results: Results, name: str, precision: str, form: str, found: Any, expected: Any) -> None:
    """A row of the table."""
    cosine = (found * expected).sum(axis=1)
    worst, furthest = float(cosine.min()), float(np.abs(found - expected).max())
    row = {"model": name, "precision": precision, "form": form}
    results.add(worst >= COSINE[precision], **row, cosine=f"{worst:.7f}", max_abs=furthest, at=int(cosine.argmin()))


def reranker(results: Results, options: argparse.Namespace, name: str, precision: str) -> None:
    """Scores by a word, or after several layers."""
    asked: dict[str, Any] = {"cutoff_layers": [2, 4, 6]} if "reranker" not in name else {}
    if name == "decoder-lightweight":
        asked |= {"compress_layers": [3], "compress_ratio": 2}
    pairs = list(zip(texts_of([9] * len(WORDS)), texts_of([words + 2 for words in WORDS], seed=50), strict=True))
    folder = str(CHECKPOINTS / name)
    expected = np.array(_RERANKERS[name](folder, devices="cpu", **asked).compute_score(pairs))
    found = np.array(
        _RERANKERS[name](folder, devices=options.device, precision=precision, **asked).compute_score(pairs)
    )
    furthest, largest = float(np.abs(found - expected).max()), max(1.0, float(np.abs(expected).max()))
    row = {"model": name, "precision": precision, "scores": found.ndim}
    results.add(furthest <= SCORE[precision] * largest, **row, max_abs=furthest, of=largest)


def kernels(results: Results, options: argparse.Namespace, name: str, precision: str) -> None:
    """In fp32 attention is spelled out, so none is named."""
    command = [sys.executable, "-c", _KERNELS, str(CHECKPOINTS / name), options.device, precision]
    environment = {**os.environ, "ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = Counter(re.findall(r"SdpaKernel=(\w+)", done.stdout))
    ok = not done.returncode and (precision == "fp32" or set(found) == {"FLASH_ATTENTION"})
    results.add(ok, model=name, precision=precision, kernels=dict(found), error=done.stderr.strip()[-200:])


def large(results: Results, options: argparse.Namespace, name: str, precision: str) -> None:
    """One query and a hundred passages through bge-reranker-v2-gemma's shape."""
    sizes = _TINY if options.dry else _GEMMA
    folder = options.models / name
    if not folder.exists():
        make(folder, *sizes)
    seconds: list[float] = []
    start = time.perf_counter()
    model = FlagLLMReranker(str(folder), devices=options.device, precision=precision)
    opening = time.perf_counter() - start
    for number in range(2 if options.dry else 6):
        passages = texts_of([_PASSAGE_WORDS] * (4 if options.dry else _PAIRS), seed=500 * number)
        pairs = [(text_of(12, number), passage) for passage in passages]
        seconds.append(timed(lambda pairs=pairs: model.compute_score(pairs)))
    tokens = sum(len(model.tokenizer.encode(" ".join(pair))) for pair in pairs)
    best, layers = min(seconds), sizes[0]
    weights = layers * (2 * sizes[1] * sizes[4] * (sizes[2] + sizes[3]) + 3 * sizes[1] * sizes[5])
    share = f"{100 * 2 * weights * tokens / best / FLOPS_AT_BEST:.0f} %"
    row = {"model": name, "precision": precision, "pairs": len(pairs), "tokens": tokens, "opened_s": opening}
    results.add(**row, first_s=seconds[0], best_s=best, **{"pairs/s": len(pairs) / best}, roofline=share)


def make(folder: Path, layers: int, width: int, heads: int, asked: int, size: int, inner: int, words: int) -> None:
    """A Gemma in bfloat16 with the tokenizer of the tiny one."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(CHECKPOINTS / "decoder-reranker-gemma", unfinished)
    config = json.loads((unfinished / "config.json").read_text())
    config |= {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "head_dim": size}
    config |= {"num_key_value_heads": asked, "intermediate_size": inner, "vocab_size": words}
    (unfinished / "config.json").write_text(json.dumps(config))
    shapes = dict(_shapes(layers, width, heads * size, asked * size, inner, words))
    block = np.random.default_rng(width).standard_normal(_BLOCK, dtype=np.float32)
    # Each is drawn when it is written: together they would fill the memory twice.
    tensors = {name: _Drawn(block, shape, place) for place, (name, shape) in enumerate(shapes.items())}
    save(unfinished / "model.safetensors", tensors, "BF16")
    unfinished.rename(folder)


def _shapes(layers: int, width: int, asking: int, asked: int, inner: int, words: int) -> Iterator[tuple[str, Any]]:
    yield "model.embed_tokens.weight", (words, width)
    for number in range(layers):
        layer = f"model.layers.{number}"
        for name, height in (("q", asking), ("k", asked), ("v", asked)):
            yield f"{layer}.self_attn.{name}_proj.weight", (height, width)
        yield f"{layer}.self_attn.o_proj.weight", (width, asking)
        for name in ("gate", "up"):
            yield f"{layer}.mlp.{name}_proj.weight", (inner, width)
        yield f"{layer}.mlp.down_proj.weight", (width, inner)
        for name in ("input", "post_attention"):
            yield f"{layer}.{name}_layernorm.weight", (width,)
    yield "model.norm.weight", (width,)


class _Drawn:
    """A tensor of noise: the same numbers over and over, from another one on in each tensor and row."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], place: int) -> None:
        self.block, self.shape, self.place = block, shape, place
        self.nbytes = 2 * int(np.prod(shape))

    @property
    def data(self) -> memoryview:
        """Its bytes: the upper halves of float32 numbers."""
        scale = 0.1 if len(self.shape) == 1 else 1 / np.sqrt(self.shape[1])
        rolled = np.roll(self.block, 1009 * self.place) * np.float32(scale)
        narrow = (rolled.view(np.uint32) >> 16).astype(np.uint16)
        return memoryview(np.resize(narrow, self.nbytes // 2))


if __name__ == "__main__":
    main()
