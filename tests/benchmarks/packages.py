"""Packages that embed with onnxruntime, pointed at a folder: none of them may download here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from competitors import Competitor
from jobs import Matrix


class FastEmbed(Competitor):
    """fastembed, each text alone, so that nothing is padded."""

    packages = ("fastembed", "onnxruntime", "tokenizers", "numpy")
    keywords: ClassVar[dict[str, Any]] = {"batch_size": 1}

    def __init__(self, folder: Path) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        # Never asked for: `specific_model_path` is opened as it is.
        nowhere = ModelSource(url="http://localhost/")
        name = folder.name
        TextEmbedding.add_custom_model(name, PoolingType.CLS, True, nowhere, 384, model_file="onnx/model.onnx")
        self.model = TextEmbedding(name, specific_model_path=str(folder))

    def encode(self, texts: str | list[str]) -> Matrix:
        vectors = np.array(list(self.model.embed(texts, **self.keywords)))
        return vectors[0] if isinstance(texts, str) else vectors


class FastEmbedDefault(FastEmbed):
    """fastembed's own batches of 256, padded to the longest."""

    keywords: ClassVar[dict[str, Any]] = {}


class LibEmbedding(Competitor):
    """libembedding-ng, whose default of 256 texts a batch pads to the longest: four are its best."""

    packages = ("libembedding-ng", "numpy")

    def __init__(self, folder: Path) -> None:
        from libembedding import TextEmbedding

        # Of a folder it takes the mean unless told otherwise.
        self.model = TextEmbedding(str(folder), pooling="cls", batch_size=4, offline=True)

    def encode(self, texts: str | list[str]) -> Matrix:
        vectors: Matrix = self.model.embed([texts] if isinstance(texts, str) else texts)
        return vectors[0] if isinstance(texts, str) else vectors
