"""What is compared. Each competitor runs in a process and an environment of its own, with the settings a user gets.

A competitor turns texts into jobs. Making a job is not timed; running it is.
"""

from __future__ import annotations

import hashlib
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import gemm
import numpy as np
from jobs import Job, Matrix, batches_by_length, call_from_threads, seconds_of_each
from numpy.typing import NDArray


class Competitor:
    """A library with an open model."""

    packages: tuple[str, ...] = ()

    def encode(self, texts: str | list[str]) -> Matrix:
        """Unit vectors, as the library's own method gives them."""
        raise NotImplementedError

    def query(self, texts: list[str]) -> Job:
        """One text, passed as a `str`."""
        return Job(lambda: self.encode(texts[0]))

    def bulk(self, texts: list[str]) -> Job:
        """All texts in one call."""
        return Job(lambda: self.encode(texts))

    def mixed(self, texts: list[str]) -> Job:
        """Texts of all lengths in one call."""
        return Job(lambda: self.encode(texts))

    def singles(self, texts: list[str]) -> Job:
        """Each text in a call of its own; gives the seconds of each."""
        return Job(lambda: seconds_of_each(self.encode, texts))

    def facts(self) -> dict[str, str]:
        """Versions of what does the work."""
        return {name: version(name) for name in self.packages if _is_installed(name)}


class Ours(Competitor):
    """bge-fast."""

    packages = ("bge-fast", "numpy")

    keywords: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path) -> None:
        from bge_fast import FlagModel

        self.model = FlagModel(str(folder), devices="cpu", **self.keywords)

    def encode(self, texts: str | list[str]) -> Matrix:
        return self.model.encode(texts)

    def queries(self, texts: list[str]) -> Job:
        """Texts with the instruction that the checkpoint's authors recommend for queries."""
        instruction = "Represent this sentence for searching relevant passages: "
        return Job(lambda: self.model.encode(texts, instruction=instruction))

    def threads(self, texts: list[str]) -> Job:
        """Many threads, each with single calls, one after the other."""
        return Job(lambda: call_from_threads(self.encode, texts))

    def threads_locked(self, texts: list[str]) -> Job:
        """The same with a lock around each call."""
        lock = threading.Lock()

        def encode(text: str) -> Matrix:
            with lock:
                return self.encode(text)

        return Job(lambda: call_from_threads(encode, texts))

    def facts(self) -> dict[str, str]:
        info = self.model.info()
        files = " ".join(Path(file).name for file in info["files"])
        ran = {"core": _core_of_ours(), "ONNX Runtime": info["runtime_version"], "opened": f"{info['source']} {files}"}
        if instructions := info.get("instructions"):  # an earlier build says nothing of them
            ran["instructions"] = str(instructions)
        return {**super().facts(), **ran, "threads": str(info["threads"])}


class OursLowMemory(Ours):
    """bge-fast with weights left in the mapped file."""

    keywords: ClassVar[dict[str, Any]] = {"low_memory": True}


class OursBf16(Ours):
    """bge-fast with products in bf16."""

    keywords: ClassVar[dict[str, Any]] = {"precision": "bf16"}


class OursInt8(Ours):
    """bge-fast with products in int8."""

    keywords: ClassVar[dict[str, Any]] = {"precision": "int8"}


class Tokens(Competitor):
    """What programs around a bare engine have: a tokenizer, and padded inputs."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)
        self.tokenizer.no_padding()
        self.inputs = ["input_ids", "attention_mask", "token_type_ids"]

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, special ones included."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    def feeds(self, ids: list[list[int]]) -> dict[str, NDArray[np.int64]]:
        """Inputs of one batch."""
        width = max(map(len, ids))
        input_ids = np.array([row + [0] * (width - len(row)) for row in ids], np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in ids], np.int64)
        feeds = {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(input_ids)}
        return {name: feeds[name] for name in self.inputs}


class Raw(gemm.Products, Tokens):
    """A bare `InferenceSession` with token ids made beforehand: what the graph costs with nothing around it."""

    packages = ("onnxruntime", "numpy")

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        super().__init__(folder)
        self.session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
        self.inputs = [given.name for given in self.session.get_inputs()]

    def query(self, texts: list[str]) -> Job:
        feeds = self.feeds(self.ids(texts[:1]))
        # Only `run`: neither the first row nor its norm is taken here.
        return Job(lambda: self.session.run(None, feeds), {"tokens": [feeds["input_ids"].size]})

    def bulk(self, texts: list[str]) -> Job:
        ids = self.ids(texts)
        batches = [(rows, self.feeds([ids[row] for row in rows])) for rows in batches_by_length(ids)]

        def run() -> Matrix:
            vectors = np.empty((len(ids), self.session.get_outputs()[0].shape[-1]), np.float32)
            for rows, feeds in batches:
                first = self.session.run(None, feeds)[0][:, 0]
                vectors[rows] = first / np.linalg.norm(first, axis=1, keepdims=True)
            return vectors

        return Job(run, {"tokens": [len(row) for row in ids]})


class SentenceTransformers(Competitor):
    """sentence-transformers, ONNX back end."""

    packages = ("sentence-transformers", "transformers", "onnxruntime", "optimum-onnx", "torch")
    backend = "onnx"

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer

        keywords = {"file_name": "onnx/model.onnx"} if self.backend == "onnx" else {}
        self.model = SentenceTransformer(str(folder), backend=self.backend, device="cpu", model_kwargs=keywords)

    def encode(self, texts: str | list[str]) -> Matrix:
        return self.model.encode(texts)


class SentenceTransformersTorch(SentenceTransformers):
    """sentence-transformers, torch."""

    packages = ("sentence-transformers", "transformers", "torch")
    backend = "torch"


class FlagEmbedding(Competitor):
    """FlagEmbedding."""

    packages = ("FlagEmbedding", "transformers", "torch")

    def __init__(self, folder: Path) -> None:
        from FlagEmbedding import FlagModel

        self.model = FlagModel(str(folder), use_fp16=False, devices="cpu")

    def encode(self, texts: str | list[str]) -> Matrix:
        return self.model.encode(texts)


def _core_of_ours() -> str:
    """Start of the sha256 of the compiled core that this process runs."""
    from bge_fast import _core

    return f"sha256 {hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:12]}"


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
