"""What a graph and a torch checkpoint compute, each asked without any code of the exporter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers

PAD = {"bert": 0, "xlm-roberta": 1}


Batch = dict[str, np.ndarray]


def padded_batch(model_type: str, lengths: tuple[int, ...] = (80, 1, 33, 12)) -> Batch:
    """Random ids in rows of these numbers of tokens, padded on the right."""
    rng = np.random.default_rng(7)
    ids = np.full((len(lengths), max(lengths)), PAD[model_type], dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = rng.integers(5, 2000, length)
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def padded_pairs(model_type: str, lengths: tuple[int, ...] = (80, 4, 33, 12)) -> Batch:
    """The same as pairs: where the model has token types, the second half of each row is of type 1."""
    batch = padded_batch(model_type, lengths)
    if model_type == "bert":
        for row, length in enumerate(lengths):
            batch["token_type_ids"][row, length // 2 : length] = 1
    return batch


def graph_outputs(path: Path, batch: Batch) -> dict[str, np.ndarray]:
    """Everything that the graph at `path` gives, in its order."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_inputs()]
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: batch[name] for name in wanted}), strict=True))


def graph_rows(path: Path, batch: Batch) -> np.ndarray:
    """`last_hidden_state` of all real tokens, from the graph at `path`."""
    return graph_outputs(path, batch)["last_hidden_state"][batch["attention_mask"] == 1]


def torch_rows(folder: Path, batch: Batch) -> np.ndarray:
    """The same from the torch checkpoint, computed in fp32."""
    return torch_states(folder, batch)[batch["attention_mask"] == 1]


def torch_states(folder: Path, batch: Batch) -> np.ndarray:
    """`last_hidden_state` with padding, from the torch checkpoint."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return run(model, batch).last_hidden_state.numpy()


def torch_m3(folder: Path, batch: Batch) -> dict[str, np.ndarray]:
    """What M3 gives, by its formulas: the heads are plain matrices."""
    hidden = torch_states(folder, batch)
    outputs = {"dense_vecs": hidden[:, 0]}
    for output, name in (("sparse_vecs", "sparse_linear.pt"), ("colbert_vecs", "colbert_linear.pt")):
        head = {part: tensor.float().numpy() for part, tensor in torch.load(folder / name, weights_only=True).items()}
        outputs[output] = hidden @ head["weight"].T + head["bias"]
    return {**outputs, "last_hidden_state": hidden}


def torch_logits(folder: Path, batch: Batch) -> np.ndarray:
    """`logits` of the torch checkpoint, which has to have all weights of its head."""
    model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"]
    return run(model, batch).logits.numpy()


def run(model: transformers.PreTrainedModel, batch: Batch) -> transformers.utils.ModelOutput:
    with torch.inference_mode():
        return model.eval()(**{name: torch.from_numpy(part) for name, part in batch.items()})


def min_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Smallest cosine between rows of the same number."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / norms).min())
