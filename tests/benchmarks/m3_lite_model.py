"""The files that the package bge-m3-lite opens, made of an M3 checkpoint: `m3_lite_model.py <checkpoint> <folder>`.

It would download them. Its graph comes from one that BAAI exported with torch, attention and all written out; the package's own
`fuse` turns that into the form it runs. Here torch exports the checkpoint in the same way, and the same `fuse` follows.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

_COPIED = ("sentencepiece.bpe.model", "sparse_linear.pt", "colbert_linear.pt")
_OPSET = 11
_GRAPH = "model.onnx"
_LAYERS = 24


def make(checkpoint: Path, folder: Path) -> None:
    """Write graph, weights, heads and tokenizer into `folder`, unless they are there: 1.6 GB with 24 layers."""
    done = folder / "config.json"
    config = (checkpoint / "config.json").read_text()
    if done.is_file() and done.read_text() == config:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        shutil.copyfile(checkpoint / name, folder / name)
    _export(checkpoint, folder)
    _fuse(folder, json.loads(config)["num_hidden_layers"])
    # Last, so that a folder with it is complete.
    done.write_text(config)


def _export(checkpoint: Path, folder: Path) -> None:
    import onnx
    import torch
    from transformers import XLMRobertaModel

    class Exported(torch.nn.Module):
        """With the inputs and outputs of BAAI's graph."""

        def __init__(self) -> None:
            super().__init__()
            keywords = {"add_pooling_layer": False, "attn_implementation": "eager"}
            self.encoder = XLMRobertaModel.from_pretrained(checkpoint, **keywords).eval()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return states, torch.nn.functional.normalize(states[:, 0], dim=-1)

    warnings.filterwarnings("ignore")
    ids = torch.arange(4, 18).reshape(2, 7)
    sizes = {0: "batch", 1: "length"}
    torch.onnx.export(
        Exported(),
        (ids, torch.ones_like(ids)),
        str(folder / _GRAPH),
        dynamo=False,
        opset_version=_OPSET,
        input_names=["input_ids", "attention_mask"],
        output_names=["token_embeddings", "sentence_embedding"],
        dynamic_axes={
            "input_ids": sizes,
            "attention_mask": sizes,
            "token_embeddings": sizes,
            "sentence_embedding": {0: "batch"},
        },
    )
    # BAAI's keeps its weights beside the graph, where the fused one finds those that it left as they were.
    model = onnx.load(folder / _GRAPH)
    data = f"{_GRAPH}_data"
    (folder / data).unlink(missing_ok=True)
    onnx.save_model(model, folder / _GRAPH, save_as_external_data=True, location=data)


def _fuse(folder: Path, layers: int) -> None:
    from bge_m3_lite import fuse
    from onnxruntime.transformers import optimizer

    optimize = optimizer.optimize_model

    def optimize_and_count(*arguments: Any, **keywords: Any) -> Any:
        """`fuse` insists on the 24 attentions of M3; here every layer there is must have one."""
        model = optimize(*arguments, **keywords)
        found = model.get_fused_operator_statistics()
        counted = {**found, "Attention": _LAYERS if found["Attention"] == layers else 0}
        model.get_fused_operator_statistics = lambda: counted
        return model

    optimizer.optimize_model = optimize_and_count
    fuse.fuse(folder / _GRAPH)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
