"""Whether a graph computes what the torch checkpoint computes, over all real tokens of a fixed set of texts.

Also for fp16 the very file that is written runs, on ONNX Runtime's CPU provider: the weights are fp16, values
between nodes are rounded to fp16, and a node without an fp16 CPU kernel is computed in fp32 between casts.
What CUDA's own kernels round differently inside a node is not covered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import CheckpointError, VerificationError
from bge_fast_export.parity_texts import PARITY_TEXTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FP32_MAX_ABS = 1e-4
FP16_MIN_COSINE = 0.999

BATCH_SIZE = 6
LENGTH_LIMIT = 512  # attention over XLM-R's 8192 positions takes gigabytes and tests nothing that 512 do not

Batch = dict[str, NDArray[np.int64]]
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """How far a graph is from the checkpoint: of any number, and of any token's row."""

    texts: int
    max_abs: float
    min_cosine: float


@dataclass(frozen=True)
class Reference:
    """Padded batches and the rows that torch computes for their real tokens."""

    batches: tuple[Batch, ...]
    rows: tuple[Rows, ...]


def reference(model: "PreTrainedModel", encoder: Encoder, tokenizer_path: Path, max_length: int) -> Reference:
    """Run the checkpoint in fp32 over the fixed texts."""
    import torch

    batches = _batches(encoder, tokenizer_path, min(max_length, LENGTH_LIMIT))
    rows = []
    with torch.inference_mode():
        for batch in batches:
            tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
            hidden = model(**tensors).last_hidden_state.numpy()
            rows.append(hidden[batch["attention_mask"] == 1])
    norms = np.concatenate([np.linalg.norm(part, axis=1) for part in rows])
    if not np.isfinite(norms).all() or not norms.all():
        raise CheckpointError(
            "The checkpoint itself gives vectors of zeros or of no finite numbers: its weights are damaged."
        )
    return Reference(tuple(batches), tuple(rows))


def verify(path: Path, precision: str, against: Reference) -> Parity:
    """Run the graph at `path` over the same batches; raise when it is too far off for its precision."""
    parity = measure(path, against)
    # Written so that a NaN fails.
    if precision == "fp32" and not parity.max_abs <= FP32_MAX_ABS:
        raise VerificationError(
            f"{path.name} differs from the checkpoint by {parity.max_abs:.2g}; at most {FP32_MAX_ABS:g} is allowed."
        )
    if precision == "fp16" and not parity.min_cosine >= FP16_MIN_COSINE:
        raise VerificationError(
            f"{path.name} has a cosine of {parity.min_cosine:.6f} to the checkpoint; "
            f"at least {FP16_MIN_COSINE} is required."
        )
    return parity


def measure(path: Path, against: Reference) -> Parity:
    """Compare the graph at `path` with the reference; not-a-number anywhere makes both figures NaN."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_inputs()]
    differences, cosines = [], []
    for batch, expected in zip(against.batches, against.rows, strict=True):
        (hidden,) = session.run(None, {name: batch[name] for name in wanted})
        rows = hidden[batch["attention_mask"] == 1]
        if rows.dtype != np.float32 or not np.isfinite(rows).all():
            return Parity(len(PARITY_TEXTS), math.nan, math.nan)
        differences.append(float(np.abs(rows - expected).max()))
        cosines.append(_min_cosine(rows, expected))
    return Parity(len(PARITY_TEXTS), float(np.max(differences)), float(np.min(cosines)))


def _min_cosine(rows: Rows, expected: Rows) -> float:
    left, right = rows.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)
    # A graph may give a row of zeros where the checkpoint does not; its cosine is 0, not undefined.
    return float(np.divide(products, norms, out=np.zeros_like(products), where=norms > 0).clip(max=1.0).min())


def _batches(encoder: Encoder, tokenizer_path: Path, length: int) -> list[Batch]:
    ids = _token_ids(tokenizer_path, length)
    if max(max(row) for row in ids) >= encoder.vocab_size:
        raise CheckpointError("The tokenizer gives ids beyond the model's vocabulary: it is another model's.")
    return [_padded(ids[i : i + BATCH_SIZE], encoder.pad_token_id) for i in range(0, len(ids), BATCH_SIZE)]


def _token_ids(path: Path, length: int) -> list[list[int]]:
    from tokenizers import Tokenizer  # type: ignore[import-untyped]

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"{path.name} is not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(PARITY_TEXTS))]
    if not all(rows):
        raise CheckpointError(f"{path.name} turns some texts into no tokens at all.")
    return rows


def _padded(rows: Sequence[Sequence[int]], pad: int) -> Batch:
    shape = (len(rows), max(len(row) for row in rows))
    ids = np.full(shape, pad, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, dtype=np.int64)}
