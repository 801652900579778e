"""The rows of FlagEmbedding's auto classes: which class opens a name, and how."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from bge_fast.known import BGE_EMBEDDERS, EMBEDDERS, RERANKERS
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


class EmbedderModelClass(Enum):
    """What ``model_class`` of `FlagAutoModel.from_finetuned` may be, as a member or its value."""

    ENCODER_ONLY_BASE = "encoder-only-base"
    ENCODER_ONLY_M3 = "encoder-only-m3"
    DECODER_ONLY_BASE = "decoder-only-base"
    DECODER_ONLY_ICL = "decoder-only-icl"
    DECODER_ONLY_PSEUDO_MOE = "decoder-only-pseudo_moe"


class RerankerModelClass(Enum):
    """What ``model_class`` of `FlagAutoReranker.from_finetuned` may be, as a member or its value."""

    ENCODER_ONLY_BASE = "encoder-only-base"
    DECODER_ONLY_BASE = "decoder-only-base"
    DECODER_ONLY_LAYERWISE = "decoder-only-layerwise"
    DECODER_ONLY_LIGHTWEIGHT = "decoder-only-lightweight"


class PoolingMethod(Enum):
    """How a row of `AUTO_EMBEDDER_MAPPING` pools."""

    LAST_TOKEN = "last_token"
    CLS = "cls"
    MEAN = "mean"


@dataclass
class EmbedderConfig:
    """A row of `AUTO_EMBEDDER_MAPPING`."""

    model_class: type[AbsEmbedder]
    pooling_method: PoolingMethod
    trust_remote_code: bool = False
    """Without effect: Python from a repository is never run."""
    query_instruction_format: str = "{}{}"


@dataclass
class RerankerConfig:
    """A row of `AUTO_RERANKER_MAPPING`."""

    model_class: type[AbsReranker]
    trust_remote_code: bool = False
    """Without effect: Python from a repository is never run."""


EMBEDDER_CLASSES: dict[EmbedderModelClass, type[AbsEmbedder]] = {
    EmbedderModelClass.ENCODER_ONLY_BASE: FlagModel,
    EmbedderModelClass.ENCODER_ONLY_M3: BGEM3FlagModel,
    EmbedderModelClass.DECODER_ONLY_BASE: FlagLLMModel,
    EmbedderModelClass.DECODER_ONLY_ICL: FlagICLModel,
    EmbedderModelClass.DECODER_ONLY_PSEUDO_MOE: FlagPseudoMoEModel,
}

RERANKER_CLASSES: dict[RerankerModelClass, type[AbsReranker]] = {
    RerankerModelClass.ENCODER_ONLY_BASE: FlagReranker,
    RerankerModelClass.DECODER_ONLY_BASE: FlagLLMReranker,
    RerankerModelClass.DECODER_ONLY_LAYERWISE: LayerWiseFlagLLMReranker,
    RerankerModelClass.DECODER_ONLY_LIGHTWEIGHT: LightWeightFlagLLMReranker,
}

_EMBEDDERS_BY_NAME = {one.__name__: one for one in EMBEDDER_CLASSES.values()}
_RERANKERS_BY_NAME = {one.__name__: one for one in RERANKER_CLASSES.values()}

AUTO_EMBEDDER_MAPPING: OrderedDict[str, EmbedderConfig] = OrderedDict(
    (
        name,
        EmbedderConfig(
            _EMBEDDERS_BY_NAME[row.model_class], PoolingMethod(row.pooling), row.custom_code, row.query_format
        ),
    )
    for name, row in EMBEDDERS.items()
)

AUTO_RERANKER_MAPPING: OrderedDict[str, RerankerConfig] = OrderedDict(
    (name, RerankerConfig(_RERANKERS_BY_NAME[row.model_class])) for name, row in RERANKERS.items()
)


def support_native_bge_model_list() -> list[str]:
    """Names of BAAI's own embedders in `AUTO_EMBEDDER_MAPPING`."""
    return list(BGE_EMBEDDERS)


def support_model_list() -> list[str]:
    """All names in `AUTO_EMBEDDER_MAPPING`."""
    return list(AUTO_EMBEDDER_MAPPING)
