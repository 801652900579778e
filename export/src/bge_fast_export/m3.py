"""BGE-M3 as one torch module: an encoder and the heads that lie in files of their own."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bge_fast_export.errors import CheckpointError, reason
from bge_fast_export.heads import HEAD_FILES
from bge_fast_export.kinds import Output
from bge_fast_export.weights import check_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class M3Model(torch.nn.Module):
    """Gives what an M3 graph puts out: nothing is normalized, no weight cut at zero, no position left out."""

    def __init__(self, encoder: "PreTrainedModel", heads: dict[str, torch.nn.Linear]) -> None:
        """Join an encoder without pooler and the heads that there are, each under its output's name."""
        super().__init__()
        self.config = encoder.config
        self.encoder = encoder
        self.heads = torch.nn.ModuleDict(heads)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Run the encoder once; the outputs come in the order of the kind's row."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        heads = {name: head(hidden) for name, head in self.heads.items()}
        return {"dense_vecs": hidden[:, 0], **heads, "last_hidden_state": hidden}


def read_heads(folder: Path, outputs: Iterable[Output], hidden_size: int) -> dict[str, torch.nn.Linear]:
    """Read the heads of these outputs in fp32; outputs without a head are passed over."""
    return {
        output.name: _read_head(folder, HEAD_FILES[output.name], hidden_size, 1 if output.number else None)
        for output in outputs
        if output.name in HEAD_FILES
    }


def _read_head(folder: Path, name: str, hidden_size: int, width: int | None) -> torch.nn.Linear:
    check_file(folder, name)
    try:
        stored = torch.load(folder / name, map_location="cpu", weights_only=True)
        weight, bias = stored["weight"].float(), stored["bias"].float()
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError(f"{name} cannot be read: {reason(error)}") from error
    expected = (width or max(bias.numel(), 1), hidden_size)
    if weight.shape != expected or bias.shape != expected[:1] or stored.keys() != {"weight", "bias"}:
        raise CheckpointError(
            f"{name} is not a layer from {hidden_size} numbers to {width or 'some'}: "
            f"its weight has the shape {tuple(weight.shape)}, its bias {tuple(bias.shape)}."
        )
    head = torch.nn.Linear(hidden_size, expected[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return head
