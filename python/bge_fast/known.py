"""The known checkpoints: one row each. A row gives what a checkpoint's files do not say, or not reliably.

The rows of `EMBEDDERS` and `RERANKERS` are those of FlagEmbedding 1.4.2's auto classes, in its order.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, TypedDict

_ENGLISH = "Represent this sentence for searching relevant passages: "
_CHINESE = "为这个句子生成表示以用于检索相关文章："
_SHORT, _LONG, _LONGEST = 512, 8192, 32768


@dataclass(frozen=True)
class KnownModel:
    """What is known about an embedder by its name."""

    pooling: str
    """``cls``, ``mean`` or ``last_token``."""
    query_instruction: str = ""
    """Put before a query for retrieval, as the model's authors recommend; empty for none."""
    query_format: str = "{}{}"
    """How: first placeholder the instruction, second the query."""
    passage_instruction: str = ""
    """Put before a passage, as the model's authors recommend; empty for none."""
    model_class: str = "FlagModel"
    """The class that opens it."""
    custom_code: bool = False
    """The published files come with Python of their own, which is never run here."""
    dimension: int = 0
    """Numbers of a vector."""
    max_length: int = _SHORT
    """Most tokens of a text, special tokens included."""

    def of(self, dimension: int, max_length: int = _SHORT) -> "KnownModel":
        """The same with these sizes."""
        return replace(self, dimension=dimension, max_length=max_length)


@dataclass(frozen=True)
class KnownReranker:
    """What is known about a reranker by its name."""

    model_class: str = "FlagReranker"
    """The class that opens it."""
    max_length: int = _SHORT
    """Most tokens of a pair, special tokens included."""


_CLS, _MEAN = KnownModel("cls"), KnownModel("mean")
_BGE_EN, _BGE_ZH = KnownModel("cls", _ENGLISH), KnownModel("cls", _CHINESE)
_E5 = KnownModel("mean", "query: ", passage_instruction="passage: ")
_OF_OWN_CODE = KnownModel("cls", custom_code=True)
_LLM = KnownModel("last_token", query_format="Instruct: {}\nQuery: {}", model_class="FlagLLMModel")
# Where a decoder-only embedder has no row.
UNKNOWN_DECODER = _LLM
_QWEN3 = replace(_LLM, query_format="Instruct: {}\nQuery:{}")
_BGE_LLM = replace(_LLM, query_format="<instruct>{}\n<query>{}")

# BAAI's own, which `support_native_bge_model_list` lists.
BGE_EMBEDDERS: dict[str, KnownModel] = {
    "bge-reasoner-embed-qwen3-8b-0923": _LLM.of(4096, _LONGEST),
    "bge-code-v1": replace(_BGE_LLM, custom_code=True).of(1536, _LONGEST),
    "bge-en-icl": replace(_BGE_LLM, model_class="FlagICLModel").of(4096, _LONGEST),
    "bge-multilingual-gemma2": _BGE_LLM.of(3584, _LONG),
    "bge-m3": KnownModel("cls", model_class="BGEM3FlagModel").of(1024, _LONG),
    "bge-large-en-v1.5": _BGE_EN.of(1024),
    "bge-base-en-v1.5": _BGE_EN.of(768),
    "bge-small-en-v1.5": _BGE_EN.of(384),
    "bge-large-zh-v1.5": _BGE_ZH.of(1024),
    "bge-base-zh-v1.5": _BGE_ZH.of(768),
    "bge-small-zh-v1.5": _BGE_ZH.of(512),
    "bge-large-en": _BGE_EN.of(1024),
    "bge-base-en": _BGE_EN.of(768),
    "bge-small-en": _BGE_EN.of(384),
    "bge-large-zh": _BGE_ZH.of(1024),
    "bge-base-zh": _BGE_ZH.of(768),
    "bge-small-zh": _BGE_ZH.of(512),
}

EMBEDDERS: dict[str, KnownModel] = {
    **BGE_EMBEDDERS,
    "Qwen3-Embedding-0.6B": _QWEN3.of(1024, _LONGEST),
    "Qwen3-Embedding-4B": _QWEN3.of(2560, _LONGEST),
    "Qwen3-Embedding-8B": _QWEN3.of(4096, _LONGEST),
    "e5-mistral-7b-instruct": _LLM.of(4096, _LONGEST),
    "e5-large-v2": _E5.of(1024),
    "e5-base-v2": _E5.of(768),
    "e5-small-v2": _E5.of(384),
    "multilingual-e5-large-instruct": KnownModel("mean", query_format=_LLM.query_format).of(1024),
    "multilingual-e5-large": _E5.of(1024),
    "multilingual-e5-base": _E5.of(768),
    "multilingual-e5-small": _E5.of(384),
    "e5-large": _E5.of(1024),
    "e5-base": _E5.of(768),
    "e5-small": _E5.of(384),
    "gte-Qwen2-7B-instruct": replace(_LLM, custom_code=True).of(3584, _LONGEST),
    "gte-Qwen2-1.5B-instruct": replace(_LLM, custom_code=True).of(1536, _LONGEST),
    "gte-Qwen1.5-7B-instruct": replace(_LLM, custom_code=True).of(4096, _LONGEST),
    "gte-multilingual-base": _OF_OWN_CODE.of(768, _LONG),
    "gte-large-en-v1.5": _OF_OWN_CODE.of(1024, _LONG),
    "gte-base-en-v1.5": _OF_OWN_CODE.of(768, _LONG),
    "gte-large": _MEAN.of(1024),
    "gte-base": _MEAN.of(768),
    "gte-small": _MEAN.of(384),
    "gte-large-zh": _CLS.of(1024),
    "gte-base-zh": _CLS.of(768),
    "gte-small-zh": _CLS.of(512),
    "SFR-Embedding-2_R": _LLM.of(4096, _LONGEST),
    "SFR-Embedding-Mistral": _LLM.of(4096, _LONGEST),
    "Linq-Embed-Mistral": _LLM.of(4096, _LONGEST),
    "bce-embedding-base_v1": _CLS.of(768),
}

RERANKERS: dict[str, KnownReranker] = {
    "bge-reranker-base": KnownReranker(),
    "bge-reranker-large": KnownReranker(),
    "bge-reranker-v2-m3": KnownReranker(max_length=_LONG),
    "bge-reranker-v2-gemma": KnownReranker("FlagLLMReranker", max_length=_LONG),
    "bge-reranker-v2-minicpm-layerwise": KnownReranker("LayerWiseFlagLLMReranker", max_length=2048),
    "bge-reranker-v2.5-gemma2-lightweight": KnownReranker("LightWeightFlagLLMReranker", max_length=_LONG),
    "jina-reranker-v2-base-multilingual": KnownReranker(max_length=1024),
    "gte-multilingual-reranker-base": KnownReranker(max_length=_LONG),
    "bce-reranker-base_v1": KnownReranker(),
    "jina-reranker-v1-turbo-en": KnownReranker(max_length=_LONG),
}

# With those that FlagEmbedding's table is without.
KNOWN_MODELS: dict[str, KnownModel] = {**EMBEDDERS, "all-MiniLM-L6-v2": _MEAN.of(384), "llm-embedder": _CLS.of(768)}


class KnownRow(NamedTuple):
    """A checkpoint that is known by its name: the last part of its hub id."""

    name: str
    kind: str
    """``embedder``, ``m3`` or ``reranker``."""
    model_class: str
    """The class that opens it."""
    pooling: str | None
    """``cls``, ``mean`` or ``last_token``; ``None`` of a reranker."""
    dimension: int | None
    """Numbers of a vector; ``None`` of a reranker."""
    max_length: int
    """Most tokens of a text or pair, as the authors give it."""


def list_models() -> list[KnownRow]:
    """The known checkpoints, embedders first. Any other checkpoint of a known architecture opens as well."""
    embedders = [
        KnownRow(
            name,
            "m3" if row.model_class == "BGEM3FlagModel" else "embedder",
            row.model_class,
            row.pooling,
            row.dimension,
            row.max_length,
        )
        for name, row in KNOWN_MODELS.items()
    ]
    rerankers = [
        KnownRow(name, "reranker", row.model_class, None, None, row.max_length) for name, row in RERANKERS.items()
    ]
    return embedders + rerankers


class TaskPrefixes(TypedDict):
    """Keywords of ``FlagModel``: what is put before queries, and before what is searched."""

    query_instruction_for_retrieval: str
    passage_instruction_for_retrieval: str


def _task(query: str, passage: str) -> TaskPrefixes:
    return {"query_instruction_for_retrieval": query, "passage_instruction_for_retrieval": passage}


# What BAAI/llm-embedder was trained with, by task: ``FlagModel("BAAI/llm-embedder", **LLM_EMBEDDER_TASKS["qa"])``.
LLM_EMBEDDER_TASKS: dict[str, TaskPrefixes] = {
    "qa": _task(
        "Represent this query for retrieving relevant documents: ",
        "Represent this document for retrieval: ",
    ),
    "icl": _task(
        "Convert this example into vector to look for useful examples: ",
        "Convert this example into vector for retrieval: ",
    ),
    "chat": _task(
        "Embed this dialogue to find useful historical dialogues: ",
        "Embed this historical dialogue for retrieval: ",
    ),
    "lrlm": _task(
        "Embed this text chunk for finding useful historical chunks: ",
        "Embed this historical text chunk for retrieval: ",
    ),
    "tool": _task(
        "Transform this user request for fetching helpful tool descriptions: ",
        "Transform this tool description for retrieval: ",
    ),
    "convsearch": _task(
        "Encode this query and context for searching relevant passages: ",
        "Encode this passage for retrieval: ",
    ),
}


def known_model(name: str) -> KnownModel | None:
    """Look up an embedder, by the name that `table_name` gives."""
    return KNOWN_MODELS.get(table_name(name))


def known_reranker(name: str) -> KnownReranker | None:
    """Look up a reranker, by the name that `table_name` gives."""
    return RERANKERS.get(table_name(name))


def table_name(name: str) -> str:
    """The last component of a hub id or path; of a ``checkpoint-*`` folder its parent's. Empty if there is none."""
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    if len(parts) > 1 and parts[-1].startswith("checkpoint-"):
        parts.pop()
    return parts[-1] if parts else ""
