"""Drop-in for FlagEmbedding's inference API: BGE models on ONNX Runtime, with a Rust core and without torch."""

from bge_fast.embedder import AbsEmbedder, FlagModel
from bge_fast.errors import BGEFastError

__version__ = "0.1.0"

__all__ = ["AbsEmbedder", "BGEFastError", "FlagModel", "__version__"]
