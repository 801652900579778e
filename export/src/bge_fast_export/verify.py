"""Whether a graph computes what the torch checkpoint computes, over fixed texts, or pairs of texts.

Of outputs with a number or a vector for each token, all real tokens are compared.

Also for fp16 the very file that is written runs, on ONNX Runtime's CPU provider: the weights are fp16, values
between nodes are rounded to fp16, and a node without an fp16 CPU kernel is computed in fp32 between casts.
What CUDA's own kernels round differently inside a node is not covered.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bge_fast_export.batches import Batch, padded_batches
from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import CheckpointError, VerificationError
from bge_fast_export.kinds import Kind, Output
from bge_fast_export.parity_texts import PARITY_TEXTS

if TYPE_CHECKING:
    import torch

FP32_MAX_ABS = 1e-4
FP16_MIN_COSINE = 0.999
# Single numbers have no direction: this much of the largest one, or of 1 where all are smaller.
FP16_MAX_SHARE = 0.01

LENGTH_LIMIT = 512  # attention over XLM-R's 8192 positions takes gigabytes and tests nothing that 512 do not

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """How far an output is from the checkpoint: of any number, and of any vector (None for single numbers)."""

    max_abs: float
    min_cosine: float | None


@dataclass(frozen=True)
class Parity:
    """How far a graph is from the checkpoint, output by output."""

    texts: int
    outputs: Mapping[str, Difference]

    @property
    def max_abs(self) -> float:
        """Largest difference of any number of any output."""
        return max(found.max_abs for found in self.outputs.values())

    @property
    def min_cosine(self) -> float | None:
        """Smallest cosine of any vector; None where no output has vectors."""
        return min((found.min_cosine for found in self.outputs.values() if found.min_cosine is not None), default=None)


@dataclass(frozen=True)
class Reference:
    """Padded batches, and for each output the rows that torch computes for them."""

    kind: Kind
    batches: tuple[Batch, ...]
    rows: Mapping[str, Rows]


def reference(
    model: "torch.nn.Module", kind: Kind, encoder: Encoder, tokenizer_path: Path, max_length: int
) -> Reference:
    """Run the checkpoint in fp32 over the fixed texts."""
    import torch

    batches = padded_batches(encoder, tokenizer_path, min(max_length, LENGTH_LIMIT), of_pairs=kind.takes_pairs)
    results = []
    with torch.inference_mode():
        for batch in batches:
            given = model(**{name: torch.from_numpy(values) for name, values in batch.items()})
            results.append({output.name: given[output.name].numpy() for output in kind.outputs})
    rows = {output.name: _rows(output, batches, (result[output.name] for result in results)) for output in kind.outputs}
    _check_sound(kind, rows)
    return Reference(kind, batches, rows)


def verify(path: Path, precision: str, against: Reference) -> Parity:
    """Run the graph at `path` over the same batches; raise when it is too far off for its precision."""
    parity = measure(path, against)
    for output in against.kind.outputs:
        _check(path.name, precision, output, parity.outputs[output.name], against.rows[output.name])
    return parity


def measure(path: Path, against: Reference) -> Parity:
    """Compare the graph at `path` with the reference; not-a-number anywhere makes an output's figures NaN."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_inputs()]
    outputs = against.kind.outputs
    names = [output.name for output in outputs]
    results = [session.run(names, {name: batch[name] for name in wanted}) for batch in against.batches]
    found = {
        output.name: _difference(output, _rows(output, against.batches, values), against.rows[output.name])
        for output, values in zip(outputs, zip(*results, strict=True), strict=True)
    }
    return Parity(len(PARITY_TEXTS), found)


def _rows(output: Output, batches: Iterable[Batch], values: Iterable[Rows]) -> Rows:
    pairs = zip(batches, values, strict=True)
    return np.concatenate([part[batch["attention_mask"] == 1] if output.per_token else part for batch, part in pairs])


def _check_sound(kind: Kind, rows: Mapping[str, Rows]) -> None:
    for output in kind.outputs:
        found = rows[output.name]
        if not np.isfinite(found).all() or not (output.number or found.any(axis=1).all()):
            raise CheckpointError(
                f"The checkpoint itself gives vectors of zeros or of no finite numbers ({output.name}): "
                "its weights are damaged."
            )


def _check(name: str, precision: str, output: Output, found: Difference, expected: Rows) -> None:
    # Comparisons are written so that a NaN fails.
    if precision == "fp16" and found.min_cosine is not None:
        if not found.min_cosine >= FP16_MIN_COSINE:
            raise VerificationError(
                f"{name} has a cosine of {found.min_cosine:.6f} to the checkpoint in {output.name}; "
                f"at least {FP16_MIN_COSINE} is required."
            )
        return
    allowed = FP32_MAX_ABS if precision == "fp32" else FP16_MAX_SHARE * max(1.0, float(np.abs(expected).max()))
    if not found.max_abs <= allowed:
        raise VerificationError(
            f"{name} differs from the checkpoint by {found.max_abs:.2g} in {output.name}; "
            f"at most {allowed:.2g} is allowed."
        )


def _difference(output: Output, rows: Rows, expected: Rows) -> Difference:
    if rows.dtype != np.float32 or not np.isfinite(rows).all():
        return Difference(math.nan, None if output.number else math.nan)
    max_abs = float(np.abs(rows - expected).max())
    return Difference(max_abs, None if output.number else _min_cosine(rows, expected))


def _min_cosine(rows: Rows, expected: Rows) -> float:
    left, right = rows.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)
    # A graph may give a row of zeros where the checkpoint does not; its cosine is 0, not undefined.
    return float(np.divide(products, norms, out=np.zeros_like(products), where=norms > 0).clip(max=1.0).min())
