"""Classes of FlagEmbedding that do not run here yet: they can be imported, and say so when one is built."""

from collections.abc import Iterable
from typing import Any

from bge_fast.errors import UnsupportedModelError
from bge_fast.models.embedder import AbsEmbedder
from bge_fast.models.reranker import AbsReranker

_WORKING = "FlagModel, BGEM3FlagModel and FlagReranker"


class Later:
    """Mixin of a class that does not run here yet.

    Raises:
        UnsupportedModelError: always, before any file is read.
    """

    def __init__(self, model_name_or_path: str, *args: Any, **kwargs: Any) -> None:
        raise self.refusal(model_name_or_path)

    @classmethod
    def refusal(cls, model: Any, names: Iterable[str] = ()) -> UnsupportedModelError:
        """What is raised: model, class, the classes that work and, from an auto class, the names that it opens."""
        listed = ", ".join(names)
        return UnsupportedModelError(
            f"{model!s:.200} needs {cls.__name__}, which is not supported yet. "
            f"Encoders such as BERT and XLM-R work, with {_WORKING}" + (f"; by name: {listed}" if listed else "")
        )


class FlagLLMModel(Later, AbsEmbedder):
    """Decoder-only embedders, such as bge-multilingual-gemma2. Not supported yet."""

    DEFAULT_POOLING_METHOD = "last_token"


class FlagICLModel(Later, AbsEmbedder):
    """Decoder-only embedders that take examples, such as bge-en-icl. Not supported yet."""

    DEFAULT_POOLING_METHOD = "last_token"


class FlagPseudoMoEModel(Later, AbsEmbedder):
    """Decoder-only embedders with a set of weights for each domain. Not supported yet."""

    DEFAULT_POOLING_METHOD = "last_token"


class FlagLLMReranker(Later, AbsReranker):
    """Decoder-only rerankers, such as bge-reranker-v2-gemma. Not supported yet."""


class LayerWiseFlagLLMReranker(Later, AbsReranker):
    """Decoder-only rerankers that score from a chosen layer. Not supported yet."""


class LightWeightFlagLLMReranker(Later, AbsReranker):
    """Decoder-only rerankers that drop layers and tokens. Not supported yet."""
