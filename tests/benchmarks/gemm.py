"""The best matrix-product rates of this machine at the encoder's shapes, fp32 and int8: the ceiling for bulk encoding."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jobs import Job

_TOKENS = 512
_HIDDEN = 384
_INNER = 1536
_REPEATS = 10


class Products:
    """A competitor's jobs with these products, of bge-small's sizes or of others: hidden size, and that between."""

    def gemm_numpy(self, sizes: list[int]) -> Job:
        """The encoder's matrix products, in numpy."""
        return numpy_job(*sizes)

    def gemm_onnxruntime(self, sizes: list[int]) -> Job:
        """The encoder's matrix products, as a graph of nothing else."""
        return onnxruntime_job(*sizes)

    def gemm_onnxruntime_one(self, sizes: list[int]) -> Job:
        """The same with one thread."""
        return onnxruntime_job(*sizes, threads=1)

    def gemm_int8(self, sizes: list[int]) -> Job:
        """The same products of uint8 rows and int8 weights."""
        return int8_job(*sizes)

    def gemm_int8_one(self, sizes: list[int]) -> Job:
        """The same with one thread."""
        return int8_job(*sizes, threads=1)


def numpy_job(hidden: int = _HIDDEN, inner: int = _INNER) -> Job:
    """The products through numpy's BLAS."""
    source = np.random.default_rng(0)
    shapes = _shapes(hidden, inner)
    weights = [source.random(shape, np.float32) - 0.5 for shape in shapes]
    inputs = [source.random((_TOKENS, weight.shape[0]), np.float32) for weight in weights]
    outputs = [np.empty((_TOKENS, weight.shape[1]), np.float32) for weight in weights]

    def run() -> None:
        for _ in range(_REPEATS):
            for left, right, out in zip(inputs, weights, outputs, strict=True):
                np.matmul(left, right, out=out)

    return Job(run, {"gigaflops": _gigaflops(shapes)})


def onnxruntime_job(hidden: int = _HIDDEN, inner: int = _INNER, threads: int = 0) -> Job:
    """The products as a chain in ONNX Runtime, with weights that it may pack beforehand; 0 threads are all there are."""
    from onnx import TensorProto, helper, numpy_helper

    source = np.random.default_rng(0)
    shapes = _shapes(hidden, inner)
    nodes, weights = [], []
    for index, shape in enumerate(shapes):
        weights.append(numpy_helper.from_array((source.random(shape, np.float32) - 0.5) / shape[0], f"w{index}"))
        nodes.append(helper.make_node("MatMul", [f"x{index}", f"w{index}"], [f"x{index + 1}"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [_TOKENS, hidden]) for name in ("x0", f"x{len(nodes)}")
    ]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], weights)
    return _graph_job(graph, {"x0": source.random((_TOKENS, hidden), np.float32)}, shapes, threads)


def int8_job(hidden: int = _HIDDEN, inner: int = _INNER, threads: int = 0) -> Job:
    """The products of uint8 and int8 with float32 sums, by the operator that dynamic quantization ends in."""
    from onnx import TensorProto, helper, numpy_helper

    source = np.random.default_rng(0)
    shapes = _shapes(hidden, inner)
    rows = {f"x{width}": source.integers(0, 256, (_TOKENS, width), np.uint8) for width in {hidden, inner}}
    given = [helper.make_tensor_value_info(name, TensorProto.UINT8, one.shape) for name, one in rows.items()]
    weights = [
        numpy_helper.from_array(np.array(0.01, np.float32), "scale"),
        numpy_helper.from_array(np.array(128, np.uint8), "zero"),
    ]
    nodes, out = [], []
    for index, (width, columns) in enumerate(shapes):
        weight = source.integers(-127, 128, (width, columns), np.int8)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        names = [f"x{width}", f"w{index}", "scale", "scale", "zero"]
        nodes.append(helper.make_node("MatMulIntegerToFloat", names, [f"y{index}"], domain="com.microsoft"))
        out.append(helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, [_TOKENS, columns]))
    return _graph_job(helper.make_graph(nodes, "products", given, out, weights), rows, shapes, threads)


def _graph_job(graph: Any, feeds: dict[str, Any], shapes: list[tuple[int, int]], threads: int) -> Job:
    import onnxruntime
    from onnx import helper

    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run() -> None:
        for _ in range(_REPEATS):
            session.run(None, feeds)

    return Job(run, {"gigaflops": _gigaflops(shapes)})


def _shapes(hidden: int, inner: int) -> list[tuple[int, int]]:
    """One layer: query, key, value, output, up, down."""
    return list(pairwise((hidden, hidden, hidden, hidden, hidden, inner, hidden)))


def _gigaflops(shapes: list[tuple[int, int]]) -> float:
    return _REPEATS * sum(2e-9 * _TOKENS * rows * columns for rows, columns in shapes)


def encoder_gigaflops(tokens: list[int], folder: Path, pruned: bool = False) -> float:
    """Arithmetic of the whole graph for texts of these lengths: products with weights, and attention; no padding.

    `pruned` leaves out what the last layer computes for other tokens than the first, but their keys and values.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    keys = 2 * 2 * hidden * hidden
    per_token = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    layer = sum(length * per_token + 4 * length * length * hidden for length in tokens)
    last = sum(length * keys + per_token - keys + 4 * length * hidden for length in tokens) if pruned else layer
    return ((config["num_hidden_layers"] - 1) * layer + last) / 1e9
