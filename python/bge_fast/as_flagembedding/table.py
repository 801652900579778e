"""What FlagEmbedding's modules offer for inference, in 1.4 and, of the same names, in 1.2: one row a module."""

from collections import OrderedDict

from bge_fast.auto import FlagAutoModel, FlagAutoReranker
from bge_fast.mapping import (
    AUTO_EMBEDDER_MAPPING,
    AUTO_RERANKER_MAPPING,
    EMBEDDER_CLASSES,
    RERANKER_CLASSES,
    EmbedderConfig,
    EmbedderModelClass,
    PoolingMethod,
    RerankerConfig,
    RerankerModelClass,
    support_model_list,
    support_native_bge_model_list,
)
from bge_fast.models.cross_encoder import FlagReranker
from bge_fast.models.dense import FlagModel
from bge_fast.models.embedder import AbsEmbedder
from bge_fast.models.icl import FlagICLModel
from bge_fast.models.later import FlagPseudoMoEModel
from bge_fast.models.layered import LayerWiseFlagLLMReranker
from bge_fast.models.lightweight import LightWeightFlagLLMReranker
from bge_fast.models.llm import FlagLLMModel
from bge_fast.models.llm_reranker import FlagLLMReranker
from bge_fast.models.m3 import BGEM3FlagModel
from bge_fast.models.reranker import AbsReranker


def _named(*classes: type) -> dict[str, object]:
    return {one.__name__: one for one in classes}


def _family(part: str) -> OrderedDict[str, EmbedderConfig]:
    return OrderedDict((name, row) for name, row in AUTO_EMBEDDER_MAPPING.items() if part in name)


_BASES = _named(AbsEmbedder, AbsReranker)
_ENCODERS = _named(FlagModel, BGEM3FlagModel)
_DECODERS = _named(FlagLLMModel, FlagICLModel, FlagPseudoMoEModel)
_EMBEDDERS = _ENCODERS | _DECODERS | _named(EmbedderModelClass)
_DECODING_RERANKERS = _named(FlagLLMReranker, LayerWiseFlagLLMReranker, LightWeightFlagLLMReranker)
_RERANKERS = _named(FlagReranker) | _DECODING_RERANKERS | _named(RerankerModelClass)
_INFERENCE = _named(FlagAutoModel, FlagAutoReranker) | _EMBEDDERS | _RERANKERS

_EMBEDDER_TABLES: dict[str, object] = {
    **_named(EmbedderModelClass, PoolingMethod, EmbedderConfig),
    "EMBEDDER_CLASS_MAPPING": EMBEDDER_CLASSES,
    "AUTO_EMBEDDER_MAPPING": AUTO_EMBEDDER_MAPPING,
    "BGE_MAPPING": _family("bge-"),
    "QWEN3_EMBEDDING_MAPPING": _family("Qwen3-"),
    "E5_MAPPING": _family("e5-"),
    "GTE_MAPPING": _family("gte-"),
    "SFR_MAPPING": _family("SFR-"),
    "LINQ_MAPPING": _family("Linq-"),
    "BCE_MAPPING": _family("bce-"),
    "support_native_bge_model_list": support_native_bge_model_list,
    "support_model_list": support_model_list,
}
_RERANKER_TABLES: dict[str, object] = {
    **_named(RerankerModelClass, RerankerConfig),
    "RERANKER_CLASS_MAPPING": RERANKER_CLASSES,
    "AUTO_RERANKER_MAPPING": AUTO_RERANKER_MAPPING,
}

# Each name there, and what it is here.
MODULES: dict[str, dict[str, object]] = {
    "FlagEmbedding": _BASES | _INFERENCE,
    "FlagEmbedding.abc": {},
    "FlagEmbedding.abc.inference": _BASES,
    "FlagEmbedding.abc.inference.AbsEmbedder": _named(AbsEmbedder),
    "FlagEmbedding.abc.inference.AbsReranker": _named(AbsReranker),
    "FlagEmbedding.inference": _INFERENCE,
    "FlagEmbedding.inference.auto_embedder": _named(FlagAutoModel),
    "FlagEmbedding.inference.auto_reranker": _named(FlagAutoReranker),
    "FlagEmbedding.inference.embedder": _EMBEDDERS,
    "FlagEmbedding.inference.embedder.model_mapping": _EMBEDDER_TABLES,
    "FlagEmbedding.inference.embedder.encoder_only": _ENCODERS,
    "FlagEmbedding.inference.embedder.encoder_only.base": {"BaseEmbedder": FlagModel},
    "FlagEmbedding.inference.embedder.encoder_only.m3": {"M3Embedder": BGEM3FlagModel},
    "FlagEmbedding.inference.embedder.decoder_only": _DECODERS,
    "FlagEmbedding.inference.embedder.decoder_only.base": {"BaseLLMEmbedder": FlagLLMModel},
    "FlagEmbedding.inference.embedder.decoder_only.icl": {"ICLLLMEmbedder": FlagICLModel},
    "FlagEmbedding.inference.embedder.decoder_only.pseudo_moe": {"PseudoMoELLMEmbedder": FlagPseudoMoEModel},
    "FlagEmbedding.inference.reranker": _RERANKERS,
    "FlagEmbedding.inference.reranker.model_mapping": _RERANKER_TABLES,
    "FlagEmbedding.inference.reranker.encoder_only": _named(FlagReranker),
    "FlagEmbedding.inference.reranker.encoder_only.base": {"BaseReranker": FlagReranker},
    "FlagEmbedding.inference.reranker.decoder_only": _DECODING_RERANKERS,
    "FlagEmbedding.inference.reranker.decoder_only.base": {"BaseLLMReranker": FlagLLMReranker},
    "FlagEmbedding.inference.reranker.decoder_only.layerwise": {"LayerWiseLLMReranker": LayerWiseFlagLLMReranker},
    "FlagEmbedding.inference.reranker.decoder_only.lightweight": {"LightweightLLMReranker": LightWeightFlagLLMReranker},
    # Of 1.2 and before.
    "FlagEmbedding.bge_m3": _named(BGEM3FlagModel),
    "FlagEmbedding.flag_models": _named(FlagModel, FlagLLMModel, FlagICLModel),
    "FlagEmbedding.flag_reranker": _named(FlagReranker) | _DECODING_RERANKERS,
}
