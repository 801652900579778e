"""The signatures of FlagEmbedding's public classes, as `record.py` stores them."""

from __future__ import annotations

import inspect
from typing import Any

import FlagEmbedding

_COMMON = ("__init__", "get_target_devices", "get_detailed_instruct", "stop_self_pool")
_ENCODE = ("encode", "encode_queries", "encode_corpus", "encode_single_device")
_M3 = ("compute_score", "compute_score_single_device", "convert_id_to_token")
_SCORE = ("compute_score", "compute_score_single_gpu", "get_detailed_inputs")
_ICL = ("set_examples", "get_detailed_example", "encode_queries_single_device", "stop_self_query_pool")
METHODS = {
    "FlagModel": (*_COMMON, *_ENCODE),
    "BGEM3FlagModel": (*_COMMON, *_ENCODE, *_M3, "compute_lexical_matching_score", "colbert_score"),
    "FlagReranker": (*_COMMON, *_SCORE),
    "FlagLLMModel": (*_COMMON, *_ENCODE),
    "FlagICLModel": (*_COMMON, *_ENCODE, *_ICL),
    "FlagLLMReranker": (*_COMMON, *_SCORE),
    "LayerWiseFlagLLMReranker": (*_COMMON, *_SCORE),
    "LightWeightFlagLLMReranker": (*_COMMON, *_SCORE),
    "FlagAutoModel": ("from_finetuned",),
    "FlagAutoReranker": ("from_finetuned",),
}


def signatures() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """For each class its methods, and for each of these the parameters in order."""
    return {
        name: {method: parameters(getattr(getattr(FlagEmbedding, name), method)) for method in methods}
        for name, methods in METHODS.items()
    }


def parameters(function: Any) -> list[dict[str, Any]]:
    """Name, kind and default of each parameter but ``self``; without a default the key is absent."""
    found = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    return [
        {"name": one.name, "kind": one.kind.name}
        | ({} if one.default is inspect.Parameter.empty else {"default": one.default})
        for one in found
    ]
