"""A class of FlagEmbedding that does not run here: it can be imported, and says so when one is built."""

from typing import Any

from bge_fast.errors import UnsupportedModelError
from bge_fast.models.embedder import AbsEmbedder


class FlagPseudoMoEModel(AbsEmbedder):
    """Decoder-only embedders with a set of weights for each domain, whose code comes with their checkpoints.

    Raises:
        UnsupportedModelError: always, before any file is read.
    """

    DEFAULT_POOLING_METHOD = "last_token"

    def __init__(self, model_name_or_path: str, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedModelError(
            f"{model_name_or_path!s:.200} needs {type(self).__name__}, which runs Python from the checkpoint; that is "
            "never done here. Other decoder-only embedders open with FlagLLMModel"
        )
