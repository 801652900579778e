"""What sentence-transformers does behind the pooling: linear layers and normalization, in their order."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_fast import _core
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError, quoted
from bge_fast.opening.choice import WEIGHTS
from bge_fast.opening.jsonfiles import read_json
from bge_fast.opening.modules import Module

Rows = NDArray[np.float32]
_SMALLEST_NORM = 1e-12
_EMBEDDING = "sentence_embedding"
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(rows: Rows) -> Rows:
    return np.asarray(1 / (1 + np.exp(-rows.clip(-80, 80))), np.float32)


# By the names of torch's classes.
_ACTIVATIONS: dict[str, Callable[[Rows], Rows]] = {
    "Identity": lambda rows: rows,
    "Tanh": np.tanh,
    "ReLU": lambda rows: np.maximum(rows, np.float32(0)),
    "Sigmoid": _sigmoid,
    "SiLU": lambda rows: rows * _sigmoid(rows),
    "GELU": lambda rows: np.asarray(rows * (1 + _ERF(rows / math.sqrt(2))) / 2, np.float32) if rows.size else rows,
}


@dataclass(frozen=True)
class Dense:
    """``activation(rows · weightᵀ + bias)``."""

    weight: Rows
    bias: Rows | None
    activation: Callable[[Rows], Rows]

    def __call__(self, rows: Rows) -> Rows:
        """Rows ``(n, inputs)`` → ``(n, outputs)``."""
        product = rows @ self.weight.T
        return self.activation(product if self.bias is None else product + self.bias)


def normalized(rows: Rows) -> Rows:
    """Rows of unit length."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, _SMALLEST_NORM), np.float32)


@dataclass(frozen=True)
class Projection:
    """The steps up to the last linear layer."""

    steps: tuple[Callable[[Rows], Rows], ...]
    width: int
    """Numbers of a row that comes out."""

    def __call__(self, rows: Rows) -> Rows:
        """Pooled vectors ``(n, hidden_size)`` → ``(n, width)``."""
        for step in self.steps:
            rows = step(rows)
        return rows


def not_applied(modules: Sequence[Module]) -> list[Module]:
    """Of the steps behind the pooling those that change a vector, other than normalization at the end."""
    return [module for module in modules if module.kind not in ("Transformer", "Pooling", "Normalize", "Dropout")]


def projection_of(name: str, root: Path, modules: Sequence[Module], width: int) -> Projection:
    """Read the linear layers of a folder.

    Args:
        root: the folder in which ``modules.json`` lies.
        width: of the pooled vectors.

    Raises:
        ModelNotFoundError: there is none, or a file of one is missing.
        ModelFormatError: sizes that do not fit; names the folder.
        UnsupportedModelError: a module or an activation of another kind, by name.
    """
    steps: list[Callable[[Rows], Rows]] = []
    last = 0
    for module in (one for one in modules if one.kind not in ("Transformer", "Pooling", "Dropout")):
        if module.kind == "Normalize":
            steps.append(normalized)
        elif module.kind == "Dense":
            layer = _dense(f"{name}: {module.folder}", root / module.folder, width)
            steps.append(layer)
            width, last = len(layer.weight), len(steps)
        else:
            raise UnsupportedModelError(f"{name}: the module {module.kind:.80} of modules.json is not supported")
    if not last:
        raise ModelNotFoundError(f"{name} has no Dense module in modules.json; leave dense out")
    # What follows the last layer is the caller's: truncate_dim, normalize_embeddings.
    return Projection(tuple(steps[:last]), width)


def _dense(name: str, folder: Path, width: int) -> Dense:
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"{name} has no config.json")
    config = read_json(folder / "config.json")
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, _EMBEDDING) not in (None, _EMBEDDING):
            raise UnsupportedModelError(f"{name}: {key} {quoted(config[key])} is not supported")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise UnsupportedModelError(f"{name}: activation_function {activation:.80} is not supported; {known} are")
    tensors = _tensors(name, folder)
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    sizes = (config.get("out_features"), config.get("in_features"))
    if weight is None or weight.shape != sizes or weight.shape[1] != width:
        found = None if weight is None else weight.shape
        raise ModelFormatError(
            f"{name}: linear.weight has the shape {found}, config.json says {quoted(sizes)}, {width} numbers come in"
        )
    if (config.get("bias", True) is not False) != (bias is not None) or (bias is not None and bias.shape != sizes[:1]):
        raise ModelFormatError(f"{name}: linear.bias is not what config.json says")
    return Dense(weight, bias, _ACTIVATIONS[activation])


def _tensors(name: str, folder: Path) -> dict[str, Any]:
    file = next((folder / one for one in WEIGHTS if (folder / one).is_file()), None)
    if file is None:
        raise ModelNotFoundError(f"{name} has no weights ({' or '.join(WEIGHTS)})")
    return _core.read_tensors([str(file.resolve())])
