"""A checkpoint as it is: which weight files it has, and what its configuration asks of a graph."""

import os
import re
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from bge_fast.opening.jsonfiles import read_json, whole_number_of

# Best first: safetensors need no pickle to be read.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEXES = tuple(f"{name}.index.json" for name in WEIGHTS)
_SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.(safetensors|bin)")
_MAX_SHARDS = 1000
# The exact GELU, under the names that transformers has for it.
_ACTIVATIONS = ("gelu", "gelu_python")
# Values that change what the model computes, and the only ones that the graph stands for.
_PLAIN = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "quantization_config": (),
    "adapters": (),
    "embedding_size": (),
    "pruned_heads": ({},),
}


def weight_names(folder: Path) -> list[str]:
    """Names of the weight files that a folder has, all shards of the best kind; empty for none.

    Raises:
        ModelFormatError: an index that names no files, or names files elsewhere.
    """
    for single, index in zip(WEIGHTS, INDEXES, strict=True):
        if os.path.lexists(folder / single):
            return [single]
        if (folder / index).is_file():
            return shard_names(folder / index)
    return []


def shard_names(index: Path) -> list[str]:
    """Names of the files that a sharded checkpoint's index lists."""
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(shard, str) for shard in table.values()):
        raise ModelFormatError(f"{index}: weight_map is not a table of file names")
    shards = sorted(set(table.values()))
    if strange := [shard for shard in shards if not _SHARD.fullmatch(shard)]:
        raise ModelFormatError(f"{index} lists {strange[0][:80]!r}, which is not the name of a weight file beside it")
    if not 0 < len(shards) <= _MAX_SHARDS:
        raise ModelFormatError(f"{index} lists {len(shards)} weight files; expected 1 to {_MAX_SHARDS}")
    return shards


def real_files(name: str, folder: Path, names: list[str], inside: Path | None = None) -> dict[str, Path]:
    """Where weight files really lie, by name: ONNX Runtime follows no links.

    Args:
        inside: refuse files that lie outside of this folder.

    Raises:
        ModelNotFoundError: a file is missing, or a link leads nowhere.
        ModelFormatError: a link leads out of ``inside``.
    """
    paths = {}
    for file in names:
        path = folder / file
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # a dangling link, a loop of links
            what = f"is a link that leads nowhere ({error})" if path.is_symlink() else "is missing"
            raise ModelNotFoundError(f"{name}: {file} {what}. Download or copy the checkpoint again") from error
        if inside and not real.is_relative_to(inside.resolve()):
            raise ModelFormatError(f"{name}: {file} is a link out of the repository's cache, to {real}")
        paths[file] = real
    return paths


def encoder_sizes(name: str, config: dict[str, Any]) -> dict[str, int | float | str]:
    """The sizes that the graph follows from, under the names of ``config.json``.

    Raises:
        UnsupportedModelError: a value that asks for another graph; names key and value.
        ModelFormatError: a size that is missing or impossible.
    """
    _refuse_other_models(name, config)
    sizes: dict[str, int] = {
        key: whole_number_of(config, key, default, at_least=1)
        for key, default in (
            ("vocab_size", None),
            ("hidden_size", None),
            ("num_hidden_layers", None),
            ("num_attention_heads", None),
            ("intermediate_size", None),
            ("max_position_embeddings", 512),
            ("type_vocab_size", 2 if config["model_type"] == "bert" else 1),
        )
    }
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        raise ModelFormatError(
            f"{name}: num_attention_heads {sizes['num_attention_heads']} does not divide "
            f"hidden_size {sizes['hidden_size']} in config.json"
        )
    padding = whole_number_of(config, "pad_token_id", 0, at_least=0)
    if padding >= sizes["vocab_size"]:
        raise ModelFormatError(
            f"{name}: pad_token_id {padding} of config.json is not below vocab_size {sizes['vocab_size']}"
        )
    epsilon = config.get("layer_norm_eps", 1e-12)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise ModelFormatError(f"{name}: layer_norm_eps of config.json must lie between 0 and 1, found {epsilon!r:.80}")
    return {**sizes, "layer_norm_eps": float(epsilon), "model_type": str(config["model_type"])}


def _refuse_other_models(name: str, config: dict[str, Any]) -> None:
    activation = config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise UnsupportedModelError(
            f"{name}: hidden_act {activation!r:.80} of config.json is not supported; only 'gelu' is"
        )
    for key, supported in _PLAIN.items():
        value = config.get(key)
        if value is None or value in supported or (key == "embedding_size" and value == config.get("hidden_size")):
            continue
        if key == "quantization_config":
            instead = "take the checkpoint as it was before it was quantized"
        else:
            instead = f"only {supported[0]!r} is" if supported else "leave it out"
        raise UnsupportedModelError(f"{name}: {key} {value!r:.80} of config.json is not supported; {instead}")
