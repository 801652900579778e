"""What torch, Optimum's graph and the graphs that bge_fast assembles make of one checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from optimum.exporters.onnx import export
from optimum.exporters.tasks import TasksManager

from bge_fast import _core
from bge_fast.opening.checkpoint import graph_sizes, real_files
from bge_fast.opening.choice import chosen
from tests.export.batches import Batch, batches, limit_of, position_ids

FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"
INPUTS = ("input_ids", "position_ids", "attention_mask")
OUTPUTS = {"cls": "dense_vecs", "hidden_states": "last_hidden_state"}
VARIANTS = tuple(product(OUTPUTS, (False, True)))

# What is measured → the most that it may be.
STATES, UNIT = 5e-6, 1e-5
LIMITS = {
    "Optimum – torch": STATES,
    "states – torch": STATES,
    "states – Optimum": STATES,
    "states, mask – torch": STATES,
    "states, mask – Optimum": STATES,
    "CLS – torch": STATES,
    "CLS – Optimum": STATES,
    "CLS, mask – torch": STATES,
    "CLS, mask – Optimum": STATES,
    "CLS – row 0": STATES,
    "unit CLS – torch": UNIT,
}

Results = Sequence[np.ndarray | None]
"""One a batch; ``None`` for a padded one where the graph takes no mask."""
Figures = dict[str, float]
Change = Callable[[bytes], bytes]


class Checkpoint:
    """A folder with what torch and Optimum's graph make of some batches."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.batches = list(batches(self.config))
        model = torch_model(folder)
        self.torch = [torch_states(model, batch) for batch in self.batches]
        session = optimum_session(model, min(limit_of(self.config), 16), scratch)
        self.optimum = [run(session, self.inputs(batch)) for batch in self.batches]

    def inputs(self, batch: Batch) -> dict[str, np.ndarray]:
        """Everything that a graph may ask for. Torch and Optimum's graph get no positions: they count by themselves."""
        return {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "token_type_ids": np.zeros_like(batch.ids),
            "position_ids": position_ids(self.config, batch.ids),
        }

    def ours(self, output: str, mask: bool, change: Change = bytes) -> Results:
        """What our graph gives; ``change`` may spoil it first."""
        name = self.folder.name
        choice = chosen(self.folder, {}, ("fp32",))
        assert choice is not None
        files = real_files(name, self.folder, choice.files)
        checkpoint = _core.Checkpoint([str(file) for file in files.values()], graph_sizes(name, self.config))
        graph, weights = checkpoint.graph([output], "masked" if mask else "plain")
        session = session_of(change(graph), weights)
        assert tuple(value.name for value in session.get_inputs()) == INPUTS[: 3 if mask else 2]
        assert [value.name for value in session.get_outputs()] == [OUTPUTS[output]]
        return [None if batch.padded and not mask else run(session, self.inputs(batch)) for batch in self.batches]

    def figures(self, change: Change = bytes) -> Figures:
        """The largest difference of every kind of :data:`LIMITS`."""
        ours = {variant: self.ours(*variant, change) for variant in VARIANTS}
        found = {"Optimum – torch": self.difference(self.optimum, self.torch)}
        for output, mask in VARIANTS:
            label = ("CLS" if output == "cls" else "states") + (", mask" if mask else "")
            for reference in ("torch", "Optimum"):
                expected = getattr(self, reference.lower())
                if output == "cls":
                    expected = first_rows(expected)
                found[f"{label} – {reference}"] = self.difference(ours[output, mask], expected)
        masks = (False, True)
        rows = [self.difference(ours["cls", mask], first_rows(ours["hidden_states", mask])) for mask in masks]
        units = [self.difference(unit(ours["cls", mask]), unit(first_rows(self.torch))) for mask in masks]
        found |= {"CLS – row 0": max(rows), "unit CLS – torch": max(units)}
        assert found.keys() == LIMITS.keys()
        return {label: found[label] for label in LIMITS}

    def difference(self, found: Results, expected: Results) -> float:
        """The largest of a real token's numbers, as a share of the largest one expected where that is above 1."""
        worst = 0.0
        for batch, one, other in zip(self.batches, found, expected, strict=True):
            if one is None:
                continue
            assert one.shape == other.shape
            kept = batch.mask == 1 if one.ndim == 3 else slice(None)
            furthest = np.abs(one[kept].astype(np.float64) - other[kept]).max()
            worst = max(worst, float(furthest / max(1, np.abs(other[kept]).max())))
        return worst


def torch_model(folder: Path) -> transformers.PreTrainedModel:
    """In fp32, whatever the checkpoint is stored as, and with nothing made up."""
    model, report = transformers.AutoModel.from_pretrained(
        folder, dtype=torch.float32, add_pooling_layer=False, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


def torch_states(model: transformers.PreTrainedModel, batch: Batch) -> np.ndarray:
    with torch.inference_mode():
        given = {"input_ids": torch.from_numpy(batch.ids), "attention_mask": torch.from_numpy(batch.mask)}
        return model(**given).last_hidden_state.numpy()


def optimum_session(model: transformers.PreTrainedModel, length: int, scratch: Path) -> onnxruntime.InferenceSession:
    """Optimum's graph, traced with texts of ``length`` tokens."""
    table = model.embeddings.token_type_embeddings
    if table.num_embeddings == 1:  # Optimum traces BERT with token types 0 and 1, always
        table.weight = torch.nn.Parameter(torch.cat([table.weight, table.weight]))
    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model, task="feature-extraction", library_name="transformers"
    )
    graph = scratch / "optimum.onnx"
    export(model, constructor(model.config), graph, opset=18, input_shapes={"sequence_length": length})
    return session_of(graph)


def session_of(graph: Path | bytes, weights: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch has threads too
    if weights:
        options.add_session_config_entry(FOLDER_OF_WEIGHTS, str(weights))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> np.ndarray:
    (result,) = session.run(None, {value.name: inputs[value.name] for value in session.get_inputs()})
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    return result


def first_rows(states: Results) -> Results:
    return [None if one is None else one[:, 0] for one in states]


def unit(rows: Results) -> Results:
    return [None if one is None else one / np.linalg.norm(one.astype(np.float64), axis=1)[:, None] for one in rows]


def beyond_limits(figures: Figures) -> Figures:
    """Those that are too large; a NaN is too."""
    return {label: value for label, value in figures.items() if not value <= LIMITS[label]}
