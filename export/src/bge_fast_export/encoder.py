"""What `config.json` says about the encoder, checked before anything heavy is loaded."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bge_fast_export.errors import CheckpointError, UnsupportedCheckpointError

CONFIG_SIZE_LIMIT = 1 << 20

MAX_EPSILON = 1e-2

# A text of one token between the two special ones.
MIN_LENGTH = 3


@dataclass(frozen=True)
class Architecture:
    """One row of the table of architectures: how transformers names it, where positions start, how pairs are told."""

    name: str
    class_prefix: str
    positions_after_pad: bool = False
    token_types: bool = True
    """Whether it has any."""
    types_in_pairs: bool = False
    pooler: bool = True
    """Whether its encoder has one, which vectors do not need."""
    embedding_size: int | None = None
    """Where the configuration says none; None: embeddings are as wide as hidden states."""
    attention: str = "sdpa"
    """The one of transformers' implementations that it has in the pinned release, and that is exported."""
    fuses: bool = True
    """Whether its attention can be fused, which fp16 needs."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Keys of the configuration that are others than BERT's, by BERT's."""

    def key(self, name: str) -> str:
        """Return what the configuration calls what BERT's calls `name`."""
        return self.renamed.get(name, name)


_DISTILBERT_KEYS = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}

ARCHITECTURES: Mapping[str, Architecture] = {
    row.name: row
    for row in (
        Architecture("bert", "Bert", types_in_pairs=True),
        Architecture("xlm-roberta", "XLMRoberta", positions_after_pad=True),
        Architecture("roberta", "Roberta", positions_after_pad=True),
        Architecture("camembert", "Camembert", positions_after_pad=True),
        Architecture("distilbert", "DistilBert", token_types=False, pooler=False, renamed=_DISTILBERT_KEYS),
        Architecture("electra", "Electra", types_in_pairs=True, pooler=False, embedding_size=128, attention="eager"),
        Architecture("mpnet", "MPNet", positions_after_pad=True, token_types=False, attention="eager", fuses=False),
    )
}


@dataclass(frozen=True)
class Encoder:
    """Architecture and sizes of one checkpoint's encoder."""

    architecture: Architecture
    class_names: tuple[str, ...]
    vocab_size: int
    embedding_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    positions: int
    token_types: int
    pad_token_id: int
    layer_norm_eps: float
    labels: int

    @property
    def max_length(self) -> int:
        """Most tokens of one text, special tokens included."""
        if self.architecture.positions_after_pad:
            return self.positions - self.pad_token_id - 1
        return self.positions

    @property
    def parameters(self) -> int:
        """Number of weights, without pooler and heads."""
        h, i, e = self.hidden_size, self.intermediate_size, self.embedding_size
        embeddings = (self.vocab_size + self.positions + self.token_types + 2) * e + (0 if e == h else (e + 1) * h)
        layer = 4 * (h * h + h) + (h * i + i) + (i * h + h) + 4 * h
        return embeddings + self.layers * layer


def read_encoder(config_path: Path) -> Encoder:
    """Read and check `config.json`."""
    config = _read_object(config_path)
    architecture = _architecture(config)
    _check_graph(config, architecture)
    key, hidden_size = architecture.key, _integer(config, architecture.key("hidden_size"), 1, 16_384)
    encoder = Encoder(
        architecture=architecture,
        class_names=_class_names(config, architecture),
        vocab_size=_integer(config, "vocab_size", 1, 4_000_000),
        embedding_size=_embedding_size(config, architecture, hidden_size),
        hidden_size=hidden_size,
        intermediate_size=_integer(config, key("intermediate_size"), 1, 131_072),
        layers=_integer(config, key("num_hidden_layers"), 1, 256),
        heads=_integer(config, key("num_attention_heads"), 1, 256),
        positions=_integer(config, "max_position_embeddings", 4, 1_000_000),
        token_types=_integer(config, "type_vocab_size", 1, 1_000) if architecture.token_types else 0,
        pad_token_id=_integer(config, "pad_token_id", 0, 4_000_000, default=int(architecture.positions_after_pad)),
        layer_norm_eps=_epsilon(config),
        labels=_labels(config),
    )
    if encoder.hidden_size % encoder.heads:
        raise CheckpointError(
            f"config.json: hidden_size {encoder.hidden_size} is not a multiple of num_attention_heads {encoder.heads}."
        )
    if encoder.max_length < MIN_LENGTH:
        raise CheckpointError("config.json: max_position_embeddings leaves no room for a text.")
    return encoder


def _check_graph(config: dict[str, Any], architecture: Architecture) -> None:
    for key, only in (("position_embedding_type", "absolute"), (architecture.key("hidden_act"), "gelu")):
        if (value := config.get(key, only)) != only:
            raise UnsupportedCheckpointError(f'config.json: {key} is "{value}"; only "{only}" is supported.')


def _embedding_size(config: dict[str, Any], architecture: Architecture, hidden_size: int) -> int:
    if architecture.embedding_size is None:
        return hidden_size
    return _integer(config, "embedding_size", 1, 16_384, default=architecture.embedding_size)


def _read_object(path: Path) -> dict[str, Any]:
    if path.stat().st_size > CONFIG_SIZE_LIMIT:
        raise CheckpointError(f"{path.name} is larger than a configuration can be.")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object.")
    return config


def _architecture(config: dict[str, Any]) -> Architecture:
    works = ", ".join(f'"{name}"' for name in ARCHITECTURES)
    name = config.get("model_type")
    if not isinstance(name, str):
        raise CheckpointError(f"config.json has no model_type; these work: {works}.")
    if name not in ARCHITECTURES:
        raise UnsupportedCheckpointError(f'Architecture "{name}" is not supported; these work: {works}.')
    if config.get("is_decoder") is True:
        raise UnsupportedCheckpointError(f"config.json declares a decoder; encoders work: {works}.")
    return ARCHITECTURES[name]


def _class_names(config: dict[str, Any], architecture: Architecture) -> tuple[str, ...]:
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError("config.json: architectures is not a list of names.")
    for name in names:
        if not re.match(rf"{architecture.class_prefix}(Model|For)", name):
            raise UnsupportedCheckpointError(
                f'config.json: class "{name}" is not one of transformers\' {architecture.name} classes; '
                "code from the checkpoint's repository is never run."
            )
    return tuple(names)


def _epsilon(config: dict[str, Any]) -> float:
    value = config.get("layer_norm_eps", 1e-12)
    if not isinstance(value, float) or not 0 < value < MAX_EPSILON:
        raise CheckpointError(f"config.json: layer_norm_eps is {value!r}, not a number between 0 and {MAX_EPSILON}.")
    return value


def _labels(config: dict[str, Any]) -> int:
    """Count the numbers that a classification head gives, as transformers does."""
    names = config.get("id2label")
    return len(names) if isinstance(names, dict) else _integer(config, "num_labels", 0, 4_000_000, default=2)


def _integer(config: dict[str, Any], key: str, low: int, high: int, default: int | None = None) -> int:
    value = config.get(key, default)
    if value is None and default is not None:
        value = default
    if value is None:
        raise CheckpointError(f"config.json has no {key}.")
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CheckpointError(f"config.json: {key} is {value!r}, not a whole number from {low} to {high}.")
    return value
