"""Rerankers: each scores pairs of a query and a passage, given as one list of two a pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from competitors import Competitor
from jobs import Job


class Reranker(Competitor):
    """A library's reranker."""

    def score(self, pairs: list[list[str]]) -> Any:
        """A logit a pair."""
        raise NotImplementedError

    def pairs(self, pairs: list[list[str]]) -> Job:
        """All pairs in one call."""
        return Job(lambda: self.score(pairs))


class Ours(Reranker):
    """bge-fast."""

    packages = ("bge-fast", "numpy")
    keywords: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path) -> None:
        from bge_fast import FlagReranker

        self.model = FlagReranker(str(folder), devices="cpu", **self.keywords)

    def score(self, pairs: list[list[str]]) -> Any:
        return self.model.compute_score(pairs)

    def facts(self) -> dict[str, str]:
        info = self.model.info()
        facts = {"ONNX Runtime": info["runtime_version"], "opened": info["source"], "threads": str(info["threads"])}
        return {**super().facts(), **facts}


class OursBf16(Ours):
    """bge-fast with products in bf16."""

    keywords: ClassVar[dict[str, Any]] = {"precision": "bf16"}


class OursInt8(Ours):
    """bge-fast with products in int8."""

    keywords: ClassVar[dict[str, Any]] = {"precision": "int8"}


class OursDecoder(Ours):
    """bge-fast with a decoder."""

    def __init__(self, folder: Path) -> None:
        from bge_fast import FlagLLMReranker

        self.model = FlagLLMReranker(str(folder), devices="cpu", **self.keywords)


class OursDecoderBf16(OursDecoder):
    """The same with products in bf16."""

    keywords: ClassVar[dict[str, Any]] = {"precision": "bf16"}


class OursDecoderInt8(OursDecoder):
    """The same with products in int8."""

    keywords: ClassVar[dict[str, Any]] = {"precision": "int8"}


class FlagEmbeddingDecoder(Reranker):
    """FlagEmbedding with a decoder."""

    packages = ("FlagEmbedding", "transformers", "torch")

    def __init__(self, folder: Path) -> None:
        from FlagEmbedding import FlagLLMReranker

        self.model = FlagLLMReranker(str(folder), use_fp16=False, devices="cpu")

    def score(self, pairs: list[list[str]]) -> Any:
        return self.model.compute_score(pairs)


class FlagEmbedding(Reranker):
    """FlagEmbedding."""

    packages = ("FlagEmbedding", "transformers", "torch")

    def __init__(self, folder: Path) -> None:
        from FlagEmbedding import FlagReranker

        self.model = FlagReranker(str(folder), use_fp16=False, devices="cpu")

    def score(self, pairs: list[list[str]]) -> Any:
        return self.model.compute_score(pairs)


class CrossEncoder(Reranker):
    """sentence-transformers, torch."""

    packages = ("sentence-transformers", "transformers", "torch")

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import CrossEncoder
        from torch.nn import Identity

        self.model = CrossEncoder(str(folder), device="cpu", activation_fn=Identity())

    def score(self, pairs: list[list[str]]) -> Any:
        return self.model.predict(pairs)
