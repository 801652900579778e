"""BGE-M3 in bge-fast, in bge-m3-lite, and FlagEmbedding's way to make dicts of token weights."""

from __future__ import annotations

import inspect
import time
from dataclasses import astuple
from pathlib import Path
from types import CellType, CodeType, FunctionType, SimpleNamespace
from typing import Any

import gemm
import memory
import numpy as np
from competitors import Competitor
from jobs import Job, Matrix
from numpy.typing import NDArray

_LENGTH = 512
_LONG = 8192


class M3(Competitor):
    """One library's M3. A result has `dense_vecs`, `lexical_weights` and `colbert_vecs`."""

    def call(self, texts: str | list[str], length: int, heads: bool = True) -> dict[str, Any]:
        """Everything in one call, or dense vectors alone."""
        raise NotImplementedError

    def bulk(self, texts: list[str]) -> Job:
        return Job(lambda: self.call(texts, _LENGTH)["dense_vecs"])

    def queries(self, texts: list[str]) -> Job:
        """One call a text."""
        return Job(lambda: [self.call(text, _LENGTH)["dense_vecs"] for text in texts])

    def dense_queries(self, texts: list[str]) -> Job:
        """The same, for nothing but dense vectors."""
        return Job(lambda: [self.call(text, _LENGTH, heads=False)["dense_vecs"] for text in texts])

    def long(self, texts: list[str]) -> Job:
        """One long text; gives the most resident memory, and the most private, in MB while it was encoded."""
        opened = memory.peak()

        def run() -> list[float]:
            memory.forget_peak()
            with memory.Watch() as watch:
                vectors = self.call(texts[0], _LONG)["colbert_vecs"]
            assert len(vectors) == _LONG - 1
            return [memory.peak(), watch.most]

        return Job(run, {"peak": opened})

    def check(self, texts: list[str]) -> Job:
        """A row a text that shows each output: dense vector, mean of multi-vectors, sum of lexical weights."""

        def run() -> list[Matrix]:
            result = self.call(texts, _LENGTH)
            rows = zip(result["dense_vecs"], result["colbert_vecs"], result["lexical_weights"], strict=True)
            return [np.hstack([dense, many.mean(0), sum(table.values())]) for dense, many, table in rows]

        return Job(run)


class Ours(M3):
    """bge-fast."""

    packages = ("bge-fast", "numpy")

    def __init__(self, folder: Path) -> None:
        from bge_fast import BGEM3FlagModel

        # As who wants everything opens it; with the default of dense vectors alone, other calls open further forms.
        self.model = BGEM3FlagModel(str(folder), devices="cpu", return_sparse=True, return_colbert_vecs=True)
        self.clock: Any = None

    def call(self, texts: str | list[str], length: int, heads: bool = True) -> dict[str, Any]:
        return self.model.encode(texts, max_length=length, return_sparse=heads, return_colbert_vecs=heads)

    def everything(self, texts: list[str]) -> Job:
        """All outputs as native batches; gives where the seconds went."""
        return self._timed(texts, heads=True)

    def dense(self, texts: list[str]) -> Job:
        """Dense vectors alone; gives where the seconds went."""
        return self._timed(texts, heads=False)

    def dicts(self, tokens: list[Any]) -> Job:
        """FlagEmbedding's shape of the lexical weights of ids and their weights."""
        from bge_fast.models.results import SparseBatch

        skip = {getattr(self.model.tokenizer, f"{role}_token_id") for role in ("cls", "eos", "pad", "unk")}
        tables = [_largest(*rows, skip) for rows in zip(*tokens, strict=True)]
        offsets = np.cumsum([0, *map(len, tables)])
        ids = np.array([token for table in tables for token in table], np.uint32)
        weights = np.array([weight for table in tables for weight in table.values()], np.float32)
        batch = SparseBatch.of(offsets, ids, weights, dim=int(ids.max()) + 1)
        return Job(batch.to_dicts, {"dicts": batch.to_dicts()})

    def facts(self) -> dict[str, str]:
        info = self.model.info()
        facts = {"ONNX Runtime": info["runtime_version"], "opened": info["source"], "threads": str(info["threads"])}
        return {**super().facts(), **facts}

    def _timed(self, texts: list[str], heads: bool) -> Job:
        from run_clock import RunClock

        if self.clock is None:
            self.clock = RunClock(Path(self.model.info()["runtime_library"]))
        lengths = {len(self.model.tokenizer(text, max_length=_LENGTH)["input_ids"]) for text in texts}
        # So many batches that the sessions for bulk work open.
        warm = [f"warm {number}" for number in range(len(texts))]
        self.model.encode_vectors(warm, batch_size=1, sparse=heads, colbert=heads)
        self.clock.split(0, 0)

        def run() -> tuple[float, ...]:
            begun = time.perf_counter()
            result = self.model.encode_vectors(texts, max_length=_LENGTH, sparse=heads, colbert=heads)
            ended = time.perf_counter()
            del result
            return astuple(self.clock.split(begun, ended))

        return Job(run, {"lengths": sorted(lengths)})


class Lite(gemm.Products, M3):
    """bge-m3-lite, with its fused graph and its defaults."""

    packages = ("bge-m3-lite", "onnxruntime", "numpy")

    def __init__(self, folder: Path) -> None:
        from bge_m3_lite import BGEM3Embedder, hub

        # It only takes files with the digests of BAAI's.
        hub.ensure_files = lambda files, *_, **__: {file.name: folder / file.name for file in files}
        self.model = BGEM3Embedder(quiet=True)

    def call(self, texts: str | list[str], length: int, heads: bool = True) -> dict[str, Any]:
        return self.model.encode(texts, max_length=length, return_sparse=heads, return_colbert_vecs=heads)


class FlagEmbeddingDicts(Competitor):
    """The function that FlagEmbedding's M3 makes a text's dict with, taken out of the method it is written in."""

    packages = ("FlagEmbedding", "transformers", "torch")

    def __init__(self, folder: Path) -> None:
        from FlagEmbedding.inference.embedder.encoder_only import m3
        from transformers import AutoTokenizer

        method = inspect.unwrap(m3.M3Embedder.encode_single_device).__code__
        inner = (part for part in method.co_consts if isinstance(part, CodeType))
        code = next(part for part in inner if part.co_name == "_process_token_weights")
        # Of the model around it, it only asks for the tokenizer.
        model = SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(folder))
        self.convert = FunctionType(code, vars(m3), closure=(CellType(model),))

    def dicts(self, tokens: list[Any]) -> Job:
        weights: NDArray[np.float32] = np.array(tokens[1], np.float32)
        tables = [
            {key: float(value) for key, value in table.items()} for table in map(self.convert, weights, tokens[0])
        ]
        return Job(lambda: list(map(self.convert, weights, tokens[0])), {"dicts": tables})


def _largest(ids: list[int], weights: list[float], skip: set[int | None]) -> dict[int, float]:
    """The largest positive weight of each id that is not skipped."""
    table: dict[int, float] = {}
    for token, weight in zip(ids, weights, strict=True):
        if token not in skip and weight > 0:
            table[token] = max(weight, table.get(token, 0.0))
    return table
