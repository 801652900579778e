"""Drop-in for FlagEmbedding's inference API: BGE models on ONNX Runtime, with a Rust core and without torch."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__: str

# Imported at first use, so that the command line starts without numpy and `doctor` also runs where the core does not
# load. The imports below say the same to type checkers.
_NAMES = {
    "auto": ("FlagAutoModel", "FlagAutoReranker"),
    "errors": (
        "BGEFastError",
        "CallTimeoutError",
        "DeviceError",
        "ForkedProcessError",
        "InternalError",
        "ModelFormatError",
        "ModelNotFoundError",
        "NumericsError",
        "QueueFullError",
        "RuntimeNotFoundError",
        "UnsafeModelError",
        "UnsupportedModelError",
    ),
    "known": ("LLM_EMBEDDER_TASKS", "KnownRow", "list_models"),
    "mapping": (
        "AUTO_EMBEDDER_MAPPING",
        "AUTO_RERANKER_MAPPING",
        "EmbedderModelClass",
        "RerankerModelClass",
        "support_model_list",
        "support_native_bge_model_list",
    ),
    "merging.lora": ("merge_lora",),
    "merging.losses": ("mix_models_with_data",),
    "merging.mixing": ("mix_models", "mix_models_by_layers"),
    "mining": ("add_reranker_scores", "mine_hard_negatives", "split_by_length"),
    "models.cross_encoder": ("FlagReranker",),
    "models.dense": ("FlagModel",),
    "models.embedder": ("AbsEmbedder",),
    "models.icl": ("FlagICLModel",),
    "models.later": ("FlagPseudoMoEModel",),
    "models.layered": ("LayerWiseFlagLLMReranker",),
    "models.lightweight": ("LightWeightFlagLLMReranker",),
    "models.llm": ("FlagLLMModel",),
    "models.llm_reranker": ("FlagLLMReranker",),
    "models.m3": ("BGEM3FlagModel",),
    "models.quantization": ("quantize_embeddings",),
    "models.reranker": ("AbsReranker", "Ranked"),
    "models.results": ("ColbertBatch", "M3Vectors", "SparseBatch"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604

if TYPE_CHECKING:
    from bge_fast.auto import FlagAutoModel as FlagAutoModel
    from bge_fast.auto import FlagAutoReranker as FlagAutoReranker
    from bge_fast.errors import BGEFastError as BGEFastError
    from bge_fast.errors import CallTimeoutError as CallTimeoutError
    from bge_fast.errors import DeviceError as DeviceError
    from bge_fast.errors import ForkedProcessError as ForkedProcessError
    from bge_fast.errors import InternalError as InternalError
    from bge_fast.errors import ModelFormatError as ModelFormatError
    from bge_fast.errors import ModelNotFoundError as ModelNotFoundError
    from bge_fast.errors import NumericsError as NumericsError
    from bge_fast.errors import QueueFullError as QueueFullError
    from bge_fast.errors import RuntimeNotFoundError as RuntimeNotFoundError
    from bge_fast.errors import UnsafeModelError as UnsafeModelError
    from bge_fast.errors import UnsupportedModelError as UnsupportedModelError
    from bge_fast.known import LLM_EMBEDDER_TASKS as LLM_EMBEDDER_TASKS
    from bge_fast.known import KnownRow as KnownRow
    from bge_fast.known import list_models as list_models
    from bge_fast.mapping import AUTO_EMBEDDER_MAPPING as AUTO_EMBEDDER_MAPPING
    from bge_fast.mapping import AUTO_RERANKER_MAPPING as AUTO_RERANKER_MAPPING
    from bge_fast.mapping import EmbedderModelClass as EmbedderModelClass
    from bge_fast.mapping import RerankerModelClass as RerankerModelClass
    from bge_fast.mapping import support_model_list as support_model_list
    from bge_fast.mapping import support_native_bge_model_list as support_native_bge_model_list
    from bge_fast.merging.lora import merge_lora as merge_lora
    from bge_fast.merging.losses import mix_models_with_data as mix_models_with_data
    from bge_fast.merging.mixing import mix_models as mix_models
    from bge_fast.merging.mixing import mix_models_by_layers as mix_models_by_layers
    from bge_fast.mining import add_reranker_scores as add_reranker_scores
    from bge_fast.mining import mine_hard_negatives as mine_hard_negatives
    from bge_fast.mining import split_by_length as split_by_length
    from bge_fast.models.cross_encoder import FlagReranker as FlagReranker
    from bge_fast.models.dense import FlagModel as FlagModel
    from bge_fast.models.embedder import AbsEmbedder as AbsEmbedder
    from bge_fast.models.icl import FlagICLModel as FlagICLModel
    from bge_fast.models.later import FlagPseudoMoEModel as FlagPseudoMoEModel
    from bge_fast.models.layered import LayerWiseFlagLLMReranker as LayerWiseFlagLLMReranker
    from bge_fast.models.lightweight import LightWeightFlagLLMReranker as LightWeightFlagLLMReranker
    from bge_fast.models.llm import FlagLLMModel as FlagLLMModel
    from bge_fast.models.llm_reranker import FlagLLMReranker as FlagLLMReranker
    from bge_fast.models.m3 import BGEM3FlagModel as BGEM3FlagModel
    from bge_fast.models.quantization import quantize_embeddings as quantize_embeddings
    from bge_fast.models.reranker import AbsReranker as AbsReranker
    from bge_fast.models.reranker import Ranked as Ranked
    from bge_fast.models.results import ColbertBatch as ColbertBatch
    from bge_fast.models.results import M3Vectors as M3Vectors
    from bge_fast.models.results import SparseBatch as SparseBatch
else:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return import_module("importlib.metadata").version("bge-fast")
        if name not in _MODULES:
            raise AttributeError(f"module 'bge_fast' has no attribute {name!r}")
        return getattr(import_module(f"bge_fast.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
