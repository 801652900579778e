"""What a graph and a torch checkpoint compute, each asked without any code of the exporter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers

PAD = {"bert": 0, "xlm-roberta": 1}


def padded_batch(model_type: str) -> dict[str, np.ndarray]:
    """Random ids in rows of 1 to 80 tokens, padded on the right."""
    rng = np.random.default_rng(7)
    lengths = (80, 1, 33, 12)
    ids = np.full((len(lengths), max(lengths)), PAD[model_type], dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = rng.integers(5, 2000, length)
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def graph_rows(path: Path, batch: dict[str, np.ndarray]) -> np.ndarray:
    """`last_hidden_state` of all real tokens, from the graph at `path`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_inputs()]
    (hidden,) = session.run(["last_hidden_state"], {name: batch[name] for name in wanted})
    return hidden[batch["attention_mask"] == 1]


def torch_rows(folder: Path, batch: dict[str, np.ndarray]) -> np.ndarray:
    """The same from the torch checkpoint, computed in fp32."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        hidden = model.eval()(**{name: torch.from_numpy(part) for name, part in batch.items()})
    return hidden.last_hidden_state.numpy()[batch["attention_mask"] == 1]


def min_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Smallest cosine between rows of the same number."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / norms).min())
