"""The decoder architectures that open here, one row for each ``model_type``, and what of a configuration counts."""

import math
from dataclasses import dataclass
from typing import Any

from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.opening.jsonfiles import whole_number_of

Sizes = dict[str, Any]

# Activations by transformers' names for them → what the core computes.
_ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}
# Values that change what a model computes, and the only ones that the graph stands for.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "is_causal": (True,),
    "use_bidirectional_attention": (False,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1, 1.0),
    "pretraining_tp": (1,),
    "head_type": ("simple",),
    "quantization_config": (),
}
_MOST_POSITIONS = 1 << 17


@dataclass(frozen=True)
class Decoder:
    """What a decoder's ``model_type`` decides, beside what its configuration says."""

    model_type: str
    """As ``config.json`` says it."""
    key_value_heads: int | None = None
    """Where the configuration says none; ``None``: as many as heads."""
    epsilon: float = 1e-6
    """Where the configuration says none."""
    tied: bool = False
    """Whether the head is the word table, where the configuration says nothing."""
    gemma: bool = False
    """Weights of norms are counted from 1, embeddings are multiplied by √hidden, the activation is tanh's GELU."""
    norms_after: bool = False
    """What attention and feed-forward part give is normalized too."""
    query_key_norms: bool = False
    """Queries and keys are normalized, head by head."""
    biases: str | None = None
    """Layers with biases; ``None``: all of the attention where ``attention_bias`` says so."""
    windowed: str = "none"
    """Layers that see only the last ``sliding_window`` tokens: none, all, even, or the upper ones if so said."""
    capped: bool = False
    """Whether ``attn_logit_softcapping`` counts."""
    scaled: bool = False
    """Whether MiniCPM's scales of embeddings and of layers count."""
    heads: str = "vocabulary"
    """How a reranker's score is made: by a row of the vocabulary, or by heads of layers: by their layer, by place."""

    def size(self, config: dict[str, Any], name: str, default: int | None = None) -> int:
        """A size of at least 1.

        Raises:
            ModelFormatError: missing or impossible; names the key.
        """
        return whole_number_of(config, name, default, at_least=1)

    def padding(self, config: dict[str, Any]) -> int:
        """Texts lie one behind the other: nothing is padded."""
        return 0

    def max_length(self, name: str, config: dict[str, Any]) -> int:
        """Most tokens of one text, special tokens included."""
        return self.size(config, "max_position_embeddings", _MOST_POSITIONS)

    def sizes(self, name: str, config: dict[str, Any]) -> Sizes:
        """What the graph follows from.

        Raises:
            UnsupportedModelError: a value that asks for another graph; names key and value.
            ModelFormatError: a value that is missing or impossible.
        """
        self._refuse_other_graphs(name, config)
        hidden, layers, heads = (
            self.size(config, key) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")
        )
        head_size = self._head_size(name, config, hidden, heads)
        return {
            "vocab_size": self.size(config, "vocab_size"),
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": self._key_value_heads(name, config, heads),
            "head_dim": head_size,
            "intermediate_size": self.size(config, "intermediate_size"),
            "hidden_act": self._activation(name, config),
            "rms_norm_eps": _number(name, config, "rms_norm_eps", self.epsilon),
            "norms_from_one": self.gemma,
            "norms_after": self.norms_after,
            "query_key_norms": self.query_key_norms,
            **self._rope(name, config),
            **self._biases(config),
            **self._scores(name, config, head_size),
            **self._scales(name, config, hidden, layers),
            "windows": self._windows(name, config, layers),
            **self._heads(config, layers),
        }

    def _refuse_other_graphs(self, name: str, config: dict[str, Any]) -> None:
        for key, supported in _PLAIN.items():
            value = config.get(key)
            if value is None or value in supported:
                continue
            instead = f"only {supported[0]!r} is" if supported else "take the checkpoint as it was before"
            raise UnsupportedModelError(f"{name}: {key} {value!r:.80} of config.json is not supported; {instead}")

    def _head_size(self, name: str, config: dict[str, Any], hidden: int, heads: int) -> int:
        if config.get("head_dim") is None and hidden % heads:
            raise ModelFormatError(
                f"{name}: num_attention_heads {heads} does not divide hidden_size {hidden} in config.json, "
                "which says no head_dim"
            )
        size = self.size(config, "head_dim", hidden // heads)
        if size % 2:
            raise ModelFormatError(f"{name}: head_dim {size} of config.json is odd, so that no halves can be rotated")
        return size

    def _key_value_heads(self, name: str, config: dict[str, Any], heads: int) -> int:
        groups = self.size(config, "num_key_value_heads", self.key_value_heads or heads)
        if heads % groups:
            raise ModelFormatError(
                f"{name}: num_key_value_heads {groups} does not divide num_attention_heads {heads} in config.json"
            )
        return groups

    def _activation(self, name: str, config: dict[str, Any]) -> str:
        # transformers takes tanh's GELU for Gemma, whatever "gelu" in an old file meant.
        stored = config.get("hidden_activation") or config.get("hidden_act") if self.gemma else config.get("hidden_act")
        activation = "gelu_pytorch_tanh" if self.gemma and stored in (None, "gelu") else stored or "silu"
        if activation not in _ACTIVATIONS:
            raise UnsupportedModelError(
                f"{name}: hidden_act {activation!r:.80} of config.json is not supported; "
                f"supported are {', '.join(_ACTIVATIONS)}"
            )
        return _ACTIVATIONS[activation]

    def _rope(self, name: str, config: dict[str, Any]) -> Sizes:
        """Of both spellings: two keys, or one object in their place."""
        new, old = config.get("rope_parameters"), config.get("rope_scaling")
        said = new if isinstance(new, dict) else old if isinstance(old, dict) else {}
        kind = said.get("rope_type", said.get("type", "default"))
        if kind not in ("default", "linear") or any(isinstance(value, dict) for value in said.values()):
            raise UnsupportedModelError(
                f"{name}: rotary positions of the kind {kind!r:.80} in config.json are not supported; "
                "supported are default and linear"
            )
        theta = {**config, **({"rope_theta": said["rope_theta"]} if "rope_theta" in said else {})}
        return {
            "rope_theta": _number(name, theta, "rope_theta", 10000.0),
            "rope_factor": _number(name, said, "factor", 1.0) if kind == "linear" else 1.0,
        }

    def _biases(self, config: dict[str, Any]) -> Sizes:
        both = bool(config.get("attention_bias"))
        return {"qkv_bias": both if self.biases is None else self.biases == "qkv", "o_bias": both and not self.biases}

    def _scores(self, name: str, config: dict[str, Any], head_size: int) -> Sizes:
        wide = _number(name, config, "query_pre_attn_scalar", 256.0) if self.norms_after else float(head_size)
        cap = _optional(name, config, "attn_logit_softcapping") if self.capped else None
        logit_cap = _optional(name, config, "final_logit_softcapping") if self.norms_after else None
        return {"score_scale": wide**-0.5, "score_cap": cap, "logit_cap": logit_cap}

    def _scales(self, name: str, config: dict[str, Any], hidden: int, layers: int) -> Sizes:
        if self.scaled:
            depth = _number(name, config, "scale_depth", 1.0)
            return {
                "embedding_scale": _number(name, config, "scale_emb", 1.0),
                "residual_scale": depth / math.sqrt(layers),
            }
        return {"embedding_scale": math.sqrt(hidden) if self.gemma else 1.0, "residual_scale": 1.0}

    def _windows(self, name: str, config: dict[str, Any], layers: int) -> list[int | None]:
        window = config.get("sliding_window")
        if (
            self.windowed == "none"
            or window is None
            or (self.windowed == "upper" and not config.get("use_sliding_window"))
        ):
            return [None] * layers
        window = self.size(config, "sliding_window")
        kinds = config.get("layer_types")
        if isinstance(kinds, list):
            if len(kinds) != layers or not set(kinds) <= {"full_attention", "sliding_attention"}:
                raise UnsupportedModelError(
                    f"{name}: layer_types {kinds!r:.80} of config.json is not supported; one of full_attention and "
                    f"sliding_attention for each of {layers} layers is"
                )
            sliding = [kind == "sliding_attention" for kind in kinds]
        elif self.windowed == "upper":
            first = whole_number_of(config, "max_window_layers", layers, at_least=0)
            sliding = [layer >= first for layer in range(layers)]
        else:
            sliding = [self.windowed == "all" or layer % 2 == 0 for layer in range(layers)]
        return [window if one else None for one in sliding]

    def _heads(self, config: dict[str, Any], layers: int) -> Sizes:
        tied = config.get("tie_word_embeddings")
        if self.heads == "vocabulary" or "start_layer" not in config:
            return {"heads": "vocabulary", "tied": self.tied if tied is None else bool(tied), "first_cutoff": layers}
        kind = "one" if config.get("head_multi") is False else self.heads
        return {"heads": kind, "tied": False, "first_cutoff": self.size(config, "start_layer")}


def _number(name: str, values: dict[str, Any], key: str, default: float) -> float:
    value = values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ModelFormatError(f"{name}: {key} of config.json must be a number above 0, found {value!r:.80}")
    return float(value)


def _optional(name: str, config: dict[str, Any], key: str) -> float | None:
    return None if config.get(key) is None else _number(name, config, key, 1.0)


DECODERS = {
    row.model_type: row
    for row in (
        Decoder("mistral", key_value_heads=8, biases="none", windowed="all"),
        Decoder("llama"),
        Decoder("qwen2", key_value_heads=32, biases="qkv", windowed="upper"),
        Decoder("qwen3", key_value_heads=32, query_key_norms=True, windowed="upper"),
        Decoder("gemma", key_value_heads=16, gemma=True, tied=True),
        Decoder(
            "gemma2",
            key_value_heads=4,
            gemma=True,
            tied=True,
            norms_after=True,
            windowed="even",
            capped=True,
        ),
        # The class of FlagEmbedding's that runs it never caps the scores of its attention.
        Decoder(
            "cost_wise_gemma",
            key_value_heads=4,
            gemma=True,
            norms_after=True,
            windowed="even",
            heads="by place",
        ),
        Decoder("minicpm", epsilon=1e-5, scaled=True, heads="by layer"),
    )
}
