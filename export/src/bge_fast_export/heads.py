"""The files with BGE-M3's two heads."""

from collections.abc import Mapping
from pathlib import Path

# What each head gives, and its file beside the encoder's weights.
HEAD_FILES: Mapping[str, str] = {"sparse_vecs": "sparse_linear.pt", "colbert_vecs": "colbert_linear.pt"}


def missing_heads(folder: Path) -> list[str]:
    """Names of the head files that the checkpoint does not have."""
    return [name for name in HEAD_FILES.values() if not (folder / name).is_file()]
