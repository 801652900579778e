"""The fp32 graph: Optimum's export of the torch model, and what a graph file declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import VerificationError
from bge_fast_export.kinds import Kind

if TYPE_CHECKING:
    import torch

DEFAULT_OPSET = 18
# 14 is the first with attention as torch writes it, 20 the last that torch's tracing exporter documents.
OPSETS = range(14, 21)

SAMPLE_LENGTH = 16


@dataclass(frozen=True)
class Signature:
    """Inputs, outputs and opset that a graph file declares."""

    opset: int
    inputs: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]


def export_graph(model: "torch.nn.Module", encoder: Encoder, kind: Kind, path: Path, opset: int) -> None:
    """Write the fp32 graph to `path`; Optimum puts weights over 2 GB into `<name>_data` beside it."""
    from optimum.exporters.onnx import export  # type: ignore[import-untyped]

    path.parent.mkdir(exist_ok=True)
    sample = {"sequence_length": min(SAMPLE_LENGTH, encoder.max_length)}
    export(model, _optimum_config(model, kind), path, opset=opset, input_shapes=sample)


def _optimum_config(model: "torch.nn.Module", kind: Kind) -> object:
    """Take Optimum's description of the architecture, with the kind's outputs in place of the task's."""
    from optimum.exporters.tasks import TasksManager  # type: ignore[import-untyped]

    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model, task=kind.task, library_name="transformers"
    )
    axes = {output.name: output.axes for output in kind.outputs}
    with_outputs = type("OnnxConfig", (constructor.func,), {"outputs": property(lambda _: axes)})
    return with_outputs(model.config, *constructor.args, **constructor.keywords)


def read_signature(path: Path, kind: Kind, widths: Mapping[str, int]) -> Signature:
    """Read what the graph at `path` declares and check that its outputs are the kind's, of these widths."""
    import onnx

    graph_file = onnx.load(path, load_external_data=False)
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in graph_file.graph.output
    }
    # An axis whose length differs from run to run reads as 0.
    expected = {output.name: [*(0 for _ in output.axes), widths[output.name]] for output in kind.outputs}
    if shapes != expected:
        raise VerificationError(f"{path.name} puts out {shapes}, expected {expected}.")
    opset = next(item.version for item in graph_file.opset_import if item.domain in ("", "ai.onnx"))
    inputs = tuple(value.name for value in graph_file.graph.input)
    return Signature(opset, inputs, {name: (shape[-1],) for name, shape in shapes.items()})
