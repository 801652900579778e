"""The known checkpoints: one row each. A row gives what a checkpoint's files do not say, or not reliably."""

from dataclasses import dataclass

_ENGLISH = "Represent this sentence for searching relevant passages: "
_CHINESE = "为这个句子生成表示以用于检索相关文章："


@dataclass(frozen=True)
class KnownModel:
    """What is known about a checkpoint by its name."""

    pooling: str
    """``cls`` or ``mean``."""
    query_instruction: str = ""
    """Put before a query for retrieval, as the model's authors recommend; empty for none."""


_BGE_EN = KnownModel("cls", _ENGLISH)
_BGE_ZH = KnownModel("cls", _CHINESE)
_MEAN = KnownModel("mean")
_CLS = KnownModel("cls")

KNOWN_MODELS: dict[str, KnownModel] = {
    "bge-large-en-v1.5": _BGE_EN,
    "bge-base-en-v1.5": _BGE_EN,
    "bge-small-en-v1.5": _BGE_EN,
    "bge-large-zh-v1.5": _BGE_ZH,
    "bge-base-zh-v1.5": _BGE_ZH,
    "bge-small-zh-v1.5": _BGE_ZH,
    "bge-large-en": _BGE_EN,
    "bge-base-en": _BGE_EN,
    "bge-small-en": _BGE_EN,
    "bge-large-zh": _BGE_ZH,
    "bge-base-zh": _BGE_ZH,
    "bge-small-zh": _BGE_ZH,
    "e5-large-v2": KnownModel("mean", "query: "),
    "e5-base-v2": KnownModel("mean", "query: "),
    "e5-small-v2": KnownModel("mean", "query: "),
    "multilingual-e5-large": KnownModel("mean", "query: "),
    "multilingual-e5-base": KnownModel("mean", "query: "),
    "multilingual-e5-small": KnownModel("mean", "query: "),
    "gte-large": _MEAN,
    "gte-base": _MEAN,
    "gte-small": _MEAN,
    "gte-large-zh": _CLS,
    "gte-base-zh": _CLS,
    "gte-small-zh": _CLS,
    "bce-embedding-base_v1": _CLS,
    "all-MiniLM-L6-v2": _MEAN,
}


def known_model(name: str) -> KnownModel | None:
    """Look up a hub id or path by its last component; ``checkpoint-*`` folders go by their parent's name."""
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    if len(parts) > 1 and parts[-1].startswith("checkpoint-"):
        parts.pop()
    return KNOWN_MODELS.get(parts[-1]) if parts else None
