"""A checkpoint as it is: where its weight files lie, and the sizes that its configuration gives a graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, ModelNotFoundError
from bge_fast.opening.architectures import architecture_of
from bge_fast.opening.decoders import Decoder

_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def graph_sizes(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """What the graph follows from; of an encoder under BERT's names.

    Raises:
        UnsupportedModelError: a value that asks for another graph; names key and value.
        ModelFormatError: a size that is missing or impossible.
    """
    architecture = architecture_of(name, config)
    if isinstance(architecture, Decoder):
        return architecture.sizes(name, config)
    architecture.refuse_other_graphs(name, config)
    sizes = {size: architecture.size(config, size) for size in _SIZES}
    sizes["max_position_embeddings"] = architecture.size(config, "max_position_embeddings", 512)
    sizes["type_vocab_size"] = architecture.size(config, "type_vocab_size", architecture.token_types)
    sizes["embedding_size"] = architecture.width_of_embeddings(config)
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        raise ModelFormatError(
            f"{name}: {architecture.key('num_attention_heads')} {sizes['num_attention_heads']} does not divide "
            f"{architecture.key('hidden_size')} {sizes['hidden_size']} in config.json"
        )
    if (padding := architecture.padding(config)) >= sizes["vocab_size"]:
        raise ModelFormatError(
            f"{name}: pad_token_id {padding} of config.json is not below vocab_size {sizes['vocab_size']}"
        )
    return {
        **sizes,
        "layer_norm_eps": _epsilon(name, architecture.value(config, "layer_norm_eps", 1e-12)),
        "hidden_act": architecture.activation(name, config),
        "model_type": architecture.graph,
    }


def _epsilon(name: str, epsilon: Any) -> float:
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise ModelFormatError(f"{name}: layer_norm_eps of config.json must lie between 0 and 1, found {epsilon!r:.80}")
    return float(epsilon)


def real_files(name: str, folder: Path, names: Sequence[str], inside: Path | None = None) -> dict[str, Path]:
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
