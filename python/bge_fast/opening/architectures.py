"""The architectures that open here: one row for each ``model_type`` of ``config.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.opening.decoders import DECODERS, Decoder
from bge_fast.opening.jsonfiles import whole_number_of

# Activations by transformers' names for them → what the core computes. Some have two names.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}
# Values that change what a model computes, and the only ones that the graph stands for.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "relative_attention_num_buckets": (32,),
    "quantization_config": (),
    "adapters": (),
    "pruned_heads": ({},),
}


@dataclass(frozen=True)
class Encoder:
    """What an encoder's ``model_type`` decides, beside the sizes in its configuration and what the core knows."""

    model_type: str
    """As ``config.json`` says it."""
    graph: str
    """The core's name for its graph: that of the first architecture that had it."""
    pad_id: int = 0
    """Where the configuration says none."""
    positions_after_padding: bool = False
    """Positions are counted from the one behind the padding's id, instead of from 0."""
    token_types: int = 1
    """Where the configuration says none."""
    embedding_size: int | None = None
    """Where the configuration says none; ``None``: embeddings are as wide as hidden states."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Keys of ``config.json`` that are others than BERT's, by BERT's."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """What holds whatever the configuration says, by BERT's keys."""

    def key(self, name: str) -> str:
        """What the configuration calls what BERT's calls ``name``."""
        return self.renamed.get(name, name)

    def value(self, config: dict[str, Any], name: str, default: Any) -> Any:
        """A value of the configuration by BERT's key, or ``default`` where it says none."""
        return self.constants.get(name, config.get(self.key(name), default))

    def size(self, config: dict[str, Any], name: str, default: int | None = None) -> int:
        """A size of at least 1, by BERT's name for it.

        Raises:
            ModelFormatError: missing or impossible; names the key.
        """
        return whole_number_of(config, self.key(name), default, at_least=1)

    def padding(self, config: dict[str, Any]) -> int:
        """The id that pads batches.

        Raises:
            ModelFormatError: not a whole number of at least 0.
        """
        return whole_number_of({**config, **self.constants}, "pad_token_id", self.pad_id, at_least=0)

    def max_length(self, name: str, config: dict[str, Any]) -> int:
        """Most tokens of one text, special tokens included.

        Raises:
            ModelFormatError: there is no position for a first token.
        """
        positions, padding = self.size(config, "max_position_embeddings", 512), self.padding(config)
        usable = positions - padding - 1 if self.positions_after_padding else positions
        if usable < 1:
            raise ModelFormatError(
                f"{name}: of max_position_embeddings {positions} in config.json none is left behind pad_token_id "
                f"{padding}"
            )
        return usable

    def width_of_embeddings(self, config: dict[str, Any]) -> int:
        """Length of a row of the tables: that of a hidden state, unless this architecture projects it.

        Raises:
            ModelFormatError: missing or impossible; names the key.
        """
        size = self.embedding_size
        return self.size(config, "hidden_size") if size is None else self.size(config, "embedding_size", size)

    def activation(self, name: str, config: dict[str, Any]) -> str:
        """The core's name for what is between the two layers of a feed-forward part.

        Raises:
            UnsupportedModelError: one that the core does not compute; names it and those that it does.
        """
        activation = self.value(config, "hidden_act", "gelu")
        if not isinstance(activation, str) or activation not in _ACTIVATIONS:
            raise UnsupportedModelError(
                f"{name}: {self.key('hidden_act')} {activation!r:.80} of config.json is not supported; "
                f"supported are {', '.join(_ACTIVATIONS)}"
            )
        return _ACTIVATIONS[activation]

    def refuse_other_graphs(self, name: str, config: dict[str, Any]) -> None:
        """See that the configuration asks for nothing that the graph does not stand for.

        Raises:
            UnsupportedModelError: names key and value.
        """
        only = dict(_PLAIN)
        if self.embedding_size is None:
            only["embedding_size"] = (config.get("hidden_size"),)
        for key, supported in only.items():
            value = config.get(key)
            if value is None or value in supported:
                continue
            if key == "quantization_config":
                instead = "take the checkpoint as it was before it was quantized"
            else:
                instead = f"only {supported[0]!r} is" if supported else "leave it out"
            raise UnsupportedModelError(f"{name}: {key} {value!r:.80} of config.json is not supported; {instead}")


ENCODERS = {
    row.model_type: row
    for row in (
        Encoder("bert", graph="bert", token_types=2),
        Encoder("xlm-roberta", graph="xlm-roberta", pad_id=1, positions_after_padding=True),
        Encoder("roberta", graph="xlm-roberta", pad_id=1, positions_after_padding=True, token_types=2),
        Encoder("camembert", graph="xlm-roberta", pad_id=1, positions_after_padding=True, token_types=2),
        Encoder(
            "distilbert",
            graph="distilbert",
            renamed={
                "hidden_size": "dim",
                "num_hidden_layers": "n_layers",
                "num_attention_heads": "n_heads",
                "intermediate_size": "hidden_dim",
                "hidden_act": "activation",
            },
            constants={"layer_norm_eps": 1e-12},
        ),
        Encoder("electra", graph="electra", token_types=2, embedding_size=128),
        Encoder("mpnet", graph="mpnet", pad_id=1, positions_after_padding=True, constants={"pad_token_id": 1}),
    )
}
ARCHITECTURES: Mapping[str, Encoder | Decoder] = {**ENCODERS, **DECODERS}


def architecture_of(name: str, config: dict[str, Any]) -> Encoder | Decoder:
    """The row of a configuration.

    Raises:
        UnsupportedModelError: there is none; names those there are.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"{name} has the architecture {model_type!r:.80}; supported are {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[model_type]


def graph_of(model_type: str) -> str | None:
    """The core's name for an encoder's graph; ``None`` for a decoder."""
    row = ARCHITECTURES[model_type]
    return row.graph if isinstance(row, Encoder) else None
