"""The three kinds of models, told by their files, and which class opens which."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError
from bge_fast.opening.decoders import DECODERS

# M3's linear layers, each in a file of its own beside the encoder's weights.
HEAD_FILES = {"sparse_linear": "sparse_linear.pt", "colbert_linear": "colbert_linear.pt"}
# The outputs of an exported graph that stand for them.
_HEAD_OUTPUTS = {"sparse_linear": "sparse_vecs", "colbert_linear": "colbert_vecs"}


def kind_of(
    name: str, folder: Path, config: dict[str, Any], manifest: dict[str, Any], wanted: str | None = None
) -> str:
    """``embedder``, ``m3`` or ``reranker``.

    Where a reranker is wanted and nobody says that it is none, its weights will: ``architectures`` is often left out,
    or that of what it was trained from.
    """
    if declares_reranker(name, config) or family_of(config) in _LAYERED.values():
        return "reranker"
    if kind := manifest.get("kind"):
        return str(kind)
    if wanted == "reranker" and not manifest:
        return "reranker"
    return "m3" if all((folder / file).is_file() for file in HEAD_FILES.values()) else "embedder"


def declares_reranker(name: str, config: dict[str, Any]) -> bool:
    """Whether ``architectures`` of the configuration says that the model has a classifier.

    Raises:
        ModelFormatError: it is no list.
    """
    classes = config.get("architectures") or []
    if not isinstance(classes, list):
        raise ModelFormatError(f"{name}: architectures of config.json is not a list")
    return any("ForSequenceClassification" in str(one) for one in classes)


def no_reranker(name: str) -> ModelFormatError:
    """What is raised for a model without a classifier where a reranker is wanted."""
    return ModelFormatError(
        f"{name} is an embedder: it has no classification head to score pairs; see FlagModel and BGEM3FlagModel"
    )


def check_kind(name: str, kind: str, wanted: str, config: dict[str, Any]) -> None:
    """See that a model of this kind can be opened as what is wanted.

    Raises:
        ModelFormatError: names the class that opens it, or the head that is missing.
    """
    if kind == "reranker" and wanted != "reranker":
        classes = config.get("architectures") or [kind]
        raise ModelFormatError(
            f"{name} is a reranker ({str(classes[0])!r:.80}): it scores pairs and has no vectors; see "
            f"{opened_by(kind, config)}"
        )
    if wanted == "reranker" and kind != "reranker":
        raise no_reranker(name)
    labels = config.get("id2label") if wanted == "reranker" else None
    if isinstance(labels, dict) and len(labels) > 1:
        raise ModelFormatError(
            f"{name} has {len(labels)} labels (id2label of config.json); a reranker has one, a score. "
            "This model sorts texts into classes"
        )


# The class that opens a kind of a family.
OPENED_BY = {
    ("embedder", "encoder"): "FlagModel",
    ("m3", "encoder"): "BGEM3FlagModel",
    ("reranker", "encoder"): "FlagReranker",
    ("embedder", "decoder"): "FlagLLMModel",
    ("reranker", "decoder"): "FlagLLMReranker",
    ("reranker", "layerwise"): "LayerWiseFlagLLMReranker",
    ("reranker", "lightweight"): "LightWeightFlagLLMReranker",
}
_LAYERED = {"minicpm": "layerwise", "cost_wise_gemma": "lightweight"}


def family_of(config: dict[str, Any]) -> str:
    """``encoder``, ``decoder``, or of decoders with heads for many layers ``layerwise`` or ``lightweight``."""
    model_type = config.get("model_type")
    if model_type not in DECODERS:
        return "encoder"
    return _LAYERED.get(str(model_type), "decoder") if "start_layer" in config else "decoder"


def check_family(name: str, kind: str, config: dict[str, Any], wanted: str) -> None:
    """See that a model of this family can be opened by a class for the family that is wanted.

    Raises:
        ModelFormatError: names the class that opens it.
    """
    family = family_of(config)
    if family == wanted:
        return
    what = "an encoder" if family == "encoder" else "a decoder-only model"
    layers = "" if family in ("encoder", "decoder") else " with heads for many layers"
    raise ModelFormatError(
        f"{name} is {what}{layers} ({config.get('model_type')}), which this class does not open; "
        f"see {opened_by(kind, config)}"
    )


def opened_by(kind: str, config: dict[str, Any]) -> str:
    """The name of the class that opens it."""
    family = family_of(config)
    return OPENED_BY.get((kind, family)) or OPENED_BY["reranker", family]


def head_outputs(graph: Mapping[str, Any]) -> dict[str, int]:
    """Heads that an exported graph has by its manifest, with their widths."""
    outputs = graph.get("outputs")
    outputs = outputs if isinstance(outputs, dict) else {}
    widths = {layer: outputs.get(output) for layer, output in _HEAD_OUTPUTS.items()}
    return {layer: int(width[-1]) for layer, width in widths.items() if isinstance(width, list) and width}
