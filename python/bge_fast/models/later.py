"""Classes of FlagEmbedding that do not run here yet: they can be imported, and say so when one is built."""

from collections.abc import Iterable
from typing import Any

from bge_fast.errors import UnsupportedModelError
from bge_fast.models.embedder import AbsEmbedder

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


class FlagPseudoMoEModel(Later, AbsEmbedder):
    """Decoder-only embedders with a set of weights for each domain. Not supported yet."""

    DEFAULT_POOLING_METHOD = "last_token"
