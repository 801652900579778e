"""Drop-in for FlagEmbedding's inference API: BGE models on ONNX Runtime, with a Rust core and without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bge_fast.auto import (
        AUTO_EMBEDDER_MAPPING,
        AUTO_RERANKER_MAPPING,
        EmbedderModelClass,
        FlagAutoModel,
        FlagAutoReranker,
        RerankerModelClass,
        support_model_list,
        support_native_bge_model_list,
    )
    from bge_fast.base import AbsEmbedder, AbsReranker
    from bge_fast.embedder import FlagModel
    from bge_fast.errors import (
        BGEFastError,
        DeviceError,
        ForkedProcessError,
        InternalError,
        ModelFormatError,
        ModelNotFoundError,
        NumericsError,
        RuntimeNotFoundError,
        UnsafeModelError,
        UnsupportedModelError,
    )
    from bge_fast.later import (
        FlagICLModel,
        FlagLLMModel,
        FlagLLMReranker,
        FlagPseudoMoEModel,
        LayerWiseFlagLLMReranker,
        LightWeightFlagLLMReranker,
    )
    from bge_fast.m3 import BGEM3FlagModel
    from bge_fast.reranker import FlagReranker, Ranked
    from bge_fast.results import ColbertBatch, M3Vectors, SparseBatch

__version__: str

__all__ = [
    "AUTO_EMBEDDER_MAPPING",
    "AUTO_RERANKER_MAPPING",
    "AbsEmbedder",
    "AbsReranker",
    "BGEFastError",
    "BGEM3FlagModel",
    "ColbertBatch",
    "DeviceError",
    "EmbedderModelClass",
    "FlagAutoModel",
    "FlagAutoReranker",
    "FlagICLModel",
    "FlagLLMModel",
    "FlagLLMReranker",
    "FlagModel",
    "FlagPseudoMoEModel",
    "FlagReranker",
    "ForkedProcessError",
    "InternalError",
    "LayerWiseFlagLLMReranker",
    "LightWeightFlagLLMReranker",
    "M3Vectors",
    "ModelFormatError",
    "ModelNotFoundError",
    "NumericsError",
    "Ranked",
    "RerankerModelClass",
    "RuntimeNotFoundError",
    "SparseBatch",
    "UnsafeModelError",
    "UnsupportedModelError",
    "__version__",
    "support_model_list",
    "support_native_bge_model_list",
]

_ROOMS = {
    "AUTO_EMBEDDER_MAPPING": "auto",
    "AUTO_RERANKER_MAPPING": "auto",
    "AbsEmbedder": "base",
    "AbsReranker": "base",
    "BGEFastError": "errors",
    "BGEM3FlagModel": "m3",
    "ColbertBatch": "results",
    "DeviceError": "errors",
    "EmbedderModelClass": "auto",
    "FlagAutoModel": "auto",
    "FlagAutoReranker": "auto",
    "FlagICLModel": "later",
    "FlagLLMModel": "later",
    "FlagLLMReranker": "later",
    "FlagModel": "embedder",
    "FlagPseudoMoEModel": "later",
    "FlagReranker": "reranker",
    "ForkedProcessError": "errors",
    "InternalError": "errors",
    "LayerWiseFlagLLMReranker": "later",
    "LightWeightFlagLLMReranker": "later",
    "M3Vectors": "results",
    "ModelFormatError": "errors",
    "ModelNotFoundError": "errors",
    "NumericsError": "errors",
    "Ranked": "reranker",
    "RerankerModelClass": "auto",
    "RuntimeNotFoundError": "errors",
    "SparseBatch": "results",
    "UnsafeModelError": "errors",
    "UnsupportedModelError": "errors",
    "support_model_list": "auto",
    "support_native_bge_model_list": "auto",
}


# At first use, so that the command line starts without numpy and `doctor` also runs where the core does not load.
def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("bge-fast")
    if name not in _ROOMS:
        raise AttributeError(f"module 'bge_fast' has no attribute {name!r}")
    return getattr(import_module(f"bge_fast.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
