"""Engines that a user drives by hand, at their best settings: texts sorted by length, batches of 512 tokens, as many runs at
a time as there are cores in bulk, all cores on one run for a query."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from competitors import Tokens
from jobs import Matrix, batches_by_length
from numpy.typing import NDArray

Feeds = dict[str, NDArray[np.int64]]


class ByHand(Tokens):
    """The loop around an engine."""

    def run_one(self, feeds: Feeds) -> Matrix:
        """Hidden states of one batch, with all cores."""
        raise NotImplementedError

    def run_all(self, batches: list[Feeds]) -> list[Matrix]:
        """The first rows of hidden states of each batch, several at a time."""
        raise NotImplementedError

    def encode(self, texts: str | list[str]) -> Matrix:
        if isinstance(texts, str):
            return _unit(self.run_one(self.feeds(self.ids([texts])))[:, 0])[0]
        ids = self.ids(texts)
        batches = batches_by_length(ids)
        # The long ones first, so that the cores end at nearly the same moment.
        batches.reverse()
        rows = self.run_all([self.feeds([ids[row] for row in batch]) for batch in batches])
        vectors = np.empty((len(texts), rows[0].shape[1]), np.float32)
        for batch, found in zip(batches, rows, strict=True):
            vectors[batch] = _unit(found)
        return vectors


class OnnxRuntime(ByHand):
    """onnxruntime: a session with all threads for queries, one of one thread for concurrent runs."""

    packages = ("onnxruntime", "tokenizers", "numpy")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.model = folder / "onnx" / "model.onnx"
        self.sessions: dict[int, Any] = {}

    def session(self, threads: int) -> Any:
        import onnxruntime

        if threads not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            self.sessions[threads] = onnxruntime.InferenceSession(
                self.model, options, providers=["CPUExecutionProvider"]
            )
            self.inputs = [given.name for given in self.sessions[threads].get_inputs()]
        return self.sessions[threads]

    def run_one(self, feeds: Feeds) -> Matrix:
        states: Matrix = self.session(_cores()).run(None, feeds)[0]
        return states

    def run_all(self, batches: list[Feeds]) -> list[Matrix]:
        session = self.session(1)
        with ThreadPoolExecutor(_cores()) as pool:
            return list(pool.map(lambda feeds: session.run(None, feeds)[0][:, 0], batches))


class OpenVino(ByHand):
    """OpenVINO: the latency hint for queries, the throughput hint with a stream a core in bulk."""

    packages = ("openvino", "tokenizers", "numpy")
    precision = "f32"
    file = "onnx/model.onnx"

    def __init__(self, folder: Path) -> None:
        import openvino

        super().__init__(folder)
        self.core = openvino.Core()
        self.model = self.core.read_model(folder / self.file)
        self.inputs = [given.any_name for given in self.model.inputs]
        self.compiled: dict[str, Any] = {}

    def compile(self, hint: str) -> Any:
        if hint not in self.compiled:
            settings = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": _cores()}
            if hint == "THROUGHPUT":
                settings["NUM_STREAMS"] = _cores()
            settings["INFERENCE_PRECISION_HINT"] = self.precision
            self.compiled[hint] = self.core.compile_model(self.model, "CPU", settings)
        return self.compiled[hint]

    def run_one(self, feeds: Feeds) -> Matrix:
        states: Matrix = self.compile("LATENCY")(feeds)[0]
        return states

    def run_all(self, batches: list[Feeds]) -> list[Matrix]:
        import openvino

        queue = openvino.AsyncInferQueue(self.compile("THROUGHPUT"), _cores())
        found: dict[int, Matrix] = {}
        queue.set_callback(lambda request, place: found.update({place: request.get_output_tensor(0).data[:, 0].copy()}))
        for place, feeds in enumerate(batches):
            queue.start_async(feeds, place)
        queue.wait_all()
        return [found[place] for place in range(len(batches))]


class OpenVinoBf16(OpenVino):
    """The same with products in bf16, where the CPU has them."""

    precision = "bf16"


class OpenVinoInt8(OpenVino):
    """The graph that NNCF quantized with fixed scales."""

    file = "openvino.xml"


def _unit(rows: Matrix) -> Matrix:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
