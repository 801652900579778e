"""sentence-transformers' classes: look-alikes that need neither it nor torch, and a module for the real ones.

`SentenceTransformer` and `CrossEncoder` have the methods of those names. `BGEModule`, which alone imports
sentence-transformers, goes into its real ``SentenceTransformer``, for libraries that look at the type.
"""

from typing import TYPE_CHECKING

from bge_fast.integrations.sentence_transformers.cross_encoder import CrossEncoder
from bge_fast.integrations.sentence_transformers.embedder import SentenceTransformer

if TYPE_CHECKING:
    from bge_fast.integrations.sentence_transformers.module import BGEModule as BGEModule

__all__ = ["BGEModule", "CrossEncoder", "SentenceTransformer"]


def __getattr__(name: str) -> object:
    if name == "BGEModule":
        from bge_fast.integrations.sentence_transformers.module import BGEModule

        return BGEModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
