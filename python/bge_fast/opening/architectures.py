"""The encoder architectures that open here: one row for each ``model_type`` of ``config.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.opening.jsonfiles import whole_number_of

_GELU = "gelu"
# Names of transformers → what the graph computes. The exact GELU has two.
_ACTIVATIONS = {"gelu": _GELU, "gelu_python": _GELU}
# Values that change what a model computes, and the only ones that the graph stands for.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "quantization_config": (),
    "adapters": (),
    "embedding_size": (),
    "pruned_heads": ({},),
}


@dataclass(frozen=True)
class Architecture:
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
    activations: Mapping[str, str] = field(default_factory=lambda: _ACTIVATIONS)
    """Values of ``hidden_act`` that are supported, with what the graph computes for them."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Sizes whose key in ``config.json`` is another than BERT's."""

    def size(self, config: dict[str, Any], name: str, default: int | None = None) -> int:
        """A size of at least 1, by BERT's name for it.

        Raises:
            ModelFormatError: missing or impossible; names the key.
        """
        return whole_number_of(config, self.renamed.get(name, name), default, at_least=1)

    def padding(self, config: dict[str, Any]) -> int:
        """The id that pads batches.

        Raises:
            ModelFormatError: not a whole number of at least 0.
        """
        return whole_number_of(config, "pad_token_id", self.pad_id, at_least=0)

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

    def refuse_other_graphs(self, name: str, config: dict[str, Any]) -> None:
        """See that the configuration asks for nothing that the graph does not stand for.

        Raises:
            UnsupportedModelError: names key and value.
        """
        activation = config.get("hidden_act", _GELU)
        if not isinstance(activation, str) or activation not in self.activations:
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


ARCHITECTURES = {
    row.model_type: row
    for row in (
        Architecture("bert", graph="bert", token_types=2),
        Architecture("xlm-roberta", graph="xlm-roberta", pad_id=1, positions_after_padding=True),
    )
}


def architecture_of(name: str, config: dict[str, Any]) -> Architecture:
    """The row of a configuration.

    Raises:
        UnsupportedModelError: there is none; names those there are.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"{name} has the architecture {model_type!r:.80}; supported are {' and '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[model_type]
