"""The kinds of model there are, and which of them is exported how."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import UnsupportedCheckpointError

AUTO = "auto"


@dataclass(frozen=True)
class Kind:
    """One row of the table of kinds: the Optimum task, and the graph's output with what it gives per row."""

    name: str
    task: str
    output: str


# M3 and reranker rows go here, each with what sets its graph apart.
KINDS: Mapping[str, Kind] = {
    row.name: row for row in (Kind("embedder", task="feature-extraction", output="last_hidden_state"),)
}

RESERVED = ("m3", "reranker")
CHOICES = (AUTO, *KINDS, *RESERVED)

M3_HEADS = ("sparse_linear.pt", "colbert_linear.pt")


def named_kind(name: str) -> Kind | None:
    """Return the row for a name given by the user, None for "auto"."""
    if name == AUTO:
        return None
    if name in RESERVED:
        raise UnsupportedCheckpointError(f"--kind {name} is not there yet; these work: {', '.join(KINDS)}.")
    return KINDS[name]


def detected_kind(folder: Path, encoder: Encoder) -> Kind:
    """Return the kind that the checkpoint's own files declare."""
    if any(name.endswith("ForSequenceClassification") for name in encoder.class_names):
        raise UnsupportedCheckpointError(
            f"{folder.name} is a reranker ({encoder.class_names[0]}), a kind that is not there yet; "
            f"these work: {', '.join(KINDS)}."
        )
    if any((folder / name).exists() for name in M3_HEADS):
        raise UnsupportedCheckpointError(
            f"{folder.name} is an M3 checkpoint, a kind that is not there yet; "
            "--kind embedder exports its dense vectors alone."
        )
    return KINDS["embedder"]
