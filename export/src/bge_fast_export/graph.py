"""The fp32 graph: Optimum's export of the torch model, and what a graph file declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import VerificationError
from bge_fast_export.kinds import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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


def export_graph(model: "PreTrainedModel", encoder: Encoder, kind: Kind, path: Path, opset: int) -> None:
    """Write the fp32 graph to `path`; Optimum puts weights over 2 GB into `<name>_data` beside it."""
    from optimum.exporters.onnx import export  # type: ignore[import-untyped]
    from optimum.exporters.tasks import TasksManager  # type: ignore[import-untyped]

    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model, task=kind.task, library_name="transformers"
    )
    path.parent.mkdir(exist_ok=True)
    sample = {"sequence_length": min(SAMPLE_LENGTH, encoder.max_length)}
    export(model, constructor(model.config), path, opset=opset, input_shapes=sample)


def read_signature(path: Path, kind: Kind, encoder: Encoder) -> Signature:
    """Read what the graph at `path` declares and check that its one output is the kind's."""
    import onnx

    graph_file = onnx.load(path, load_external_data=False)
    outputs = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)[2:]
        for value in graph_file.graph.output
    }
    if outputs != {kind.output: (encoder.hidden_size,)}:
        raise VerificationError(f"{path.name} puts out {outputs}, expected {kind.output} of {encoder.hidden_size}.")
    opset = next(item.version for item in graph_file.opset_import if item.domain in ("", "ai.onnx"))
    return Signature(opset, tuple(value.name for value in graph_file.graph.input), outputs)
