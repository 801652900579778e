"""Checkpoints of decoders' shapes with random weights in bf16, and a tokenizer of as many pieces as the model has words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors_file
from numpy.typing import NDArray

_SEED = 2048
_DEVIATION = 0.02
# Numbers of which all matrices are cut, at places of their own: drawing every one would take minutes.
_POOL = 1 << 25
_VOWELS, _CONSONANTS = "aeiouy", "bcdfghjklmnprstvwz"


@dataclass(frozen=True)
class Shape:
    """Sizes of a checkpoint, and what else its ``config.json`` says."""

    layers: int
    hidden: int
    heads: int
    key_heads: int
    size: int
    inner: int
    words: int
    config: dict[str, Any] = field(default_factory=dict)
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    heads_of_layers: int = 0


def gemma(layers: int = 18, words: int = 256_000) -> Shape:
    """That of bge-reranker-v2-gemma; it has 18 layers."""
    config = {"model_type": "gemma", "hidden_activation": "gelu_pytorch_tanh", "architectures": ["GemmaForCausalLM"]}
    return Shape(layers, 2048, 8, 1, 256, 16_384, words, config)


def mistral(layers: int = 32, words: int = 32_000) -> Shape:
    """That of bge-en-icl; it has 32 layers."""
    return Shape(layers, 4096, 32, 8, 128, 14_336, words, {"model_type": "mistral", "sliding_window": None})


def minicpm(layers: int = 40, words: int = 32_000) -> Shape:
    """That of bge-reranker-v2-minicpm-layerwise; it has 40 layers."""
    config = {"model_type": "minicpm", "scale_emb": 12, "scale_depth": 1.4, "start_layer": 8, "head_type": "simple"}
    return Shape(layers, 2304, 36, 36, 64, 5760, words, {**config, "head_multi": True}, heads_of_layers=layers - 7)


def gemma2(layers: int = 42, words: int = 32_000) -> Shape:
    """That of bge-reranker-v2.5-gemma2-lightweight; it has 42 layers."""
    config = {"model_type": "cost_wise_gemma", "query_pre_attn_scalar": 256, "sliding_window": 4096, "start_layer": 2}
    config |= {"final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0, "layer_sep": 1, "layer_wise": True}
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    return Shape(layers, 3584, 16, 8, 256, 14_336, words, config, norms, heads_of_layers=layers - 1)


def make(folder: Path, shape: Shape) -> Path:
    """Write the checkpoint, 5 GB for all of `gemma`, unless it is there; returns its folder."""
    config = _config(shape)
    stored = folder / "config.json"
    if stored.is_file() and json.loads(stored.read_text()) == config:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(shape.words)))
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**special, "tokenizer_class": "PreTrainedTokenizerFast"}))
    source = np.random.default_rng([_SEED, shape.layers])
    pool = _bf16(source.standard_normal(_POOL, np.float32) * _DEVIATION)

    def numbers(name: str, sizes: tuple[int, ...]) -> NDArray[Any]:
        if "norm" in name:
            return np.zeros(sizes, np.uint16) if "gemma" in shape.config["model_type"] else _bf16(np.ones(sizes))
        count, start = int(np.prod(sizes)), int(source.integers(_POOL))
        return np.resize(np.roll(pool, start), count)

    safetensors_file.write(folder / "model.safetensors", _shapes(shape), numbers, dtype="BF16")
    # Last, so that a folder with it is complete.
    stored.write_text(json.dumps(config, indent=2))
    return folder


def _bf16(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """The upper half of each float32."""
    return (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _config(shape: Shape) -> dict[str, Any]:
    sizes = {
        "vocab_size": shape.words,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "head_dim": shape.size,
        "intermediate_size": shape.inner,
        "max_position_embeddings": 8192,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return {**sizes, **shape.config}


def _shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    hidden, inner = shape.hidden, shape.inner
    asking, asked = shape.heads * shape.size, shape.key_heads * shape.size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.words, hidden)}
    for layer in range(shape.layers):
        attention = {"q": (asking, hidden), "k": (asked, hidden), "v": (asked, hidden), "o": (hidden, asking)}
        feed_forward = {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
        parts = {f"self_attn.{part}_proj": sizes for part, sizes in attention.items()}
        parts |= {f"mlp.{part}_proj": sizes for part, sizes in feed_forward.items()}
        parts |= dict.fromkeys(shape.norms, (hidden,))
        shapes |= {f"model.layers.{layer}.{part}.weight": sizes for part, sizes in parts.items()}
    shapes["model.norm.weight"] = (hidden,)
    shapes |= {f"lm_head.{head}.linear_head.weight": (1, hidden) for head in range(shape.heads_of_layers)}
    return shapes


def _tokenizer(words: int) -> dict[str, Any]:
    """BPE with byte fallback, as Gemma's: pieces of two and three syllables, each merged of two others."""
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "\n", "▁", *map(chr, range(33, 127))]
    merges: list[list[str]] = []
    known = set(pieces)

    def merge(one: str, other: str) -> None:
        if len(pieces) < words and one + other not in known:
            known.add(one + other)
            pieces.append(one + other)
            merges.append([one, other])

    syllables = [one + other for one in _CONSONANTS for other in _VOWELS]
    for syllable in syllables:
        merge(syllable[0], syllable[1])
    for one, other in ("Ye", "A:", "B:"):
        merge(one, other)
    merge("Ye", "s")
    for one in syllables:
        for other in syllables:
            merge(one, other)
    pairs = [one + other for one in syllables for other in syllables]
    for one in pairs:
        for other in syllables:
            merge(one, other)
    added = [
        {"id": place, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        | {"special": True}
        for place, content in enumerate(special)
    ]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model = {"type": "BPE", "vocab": {piece: place for place, piece in enumerate(pieces)}, "merges": merges}
    options = {"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "ignore_merges": False}
    return {"version": "1.0", "added_tokens": added, "normalizer": space, "model": {**model, **options}}
