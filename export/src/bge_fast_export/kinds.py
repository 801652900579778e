"""The kinds of model there are, and what sets the export of each apart."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import CheckpointError, UnsupportedCheckpointError
from bge_fast_export.heads import HEAD_FILES, missing_heads

AUTO = "auto"

RERANKER_CLASS = "ForSequenceClassification"

# M3 checkpoints by their name, should one come without its heads.
M3_NAMES = ("bge-m3",)


@dataclass(frozen=True)
class Output:
    """One output of a graph: a vector, or a single number, for each text or for each token of it."""

    name: str
    per_token: bool = False
    number: bool = False

    @property
    def axes(self) -> dict[int, str]:
        """Names of the axes whose length differs from run to run; the last axis is the vector."""
        return {0: "batch_size", 1: "sequence_length"} if self.per_token else {0: "batch_size"}


@dataclass(frozen=True)
class Kind:
    """One row of the table of kinds: Optimum's task, the end of transformers' class name, what the graph gives."""

    name: str
    task: str
    class_suffix: str
    outputs: tuple[Output, ...]
    takes_pairs: bool = False


_DENSE = Output("dense_vecs")
_SPARSE = Output("sparse_vecs", per_token=True, number=True)
_COLBERT = Output("colbert_vecs", per_token=True)
_HIDDEN = Output("last_hidden_state", per_token=True)
_LOGITS = Output("logits", number=True)

EMBEDDER = Kind("embedder", "feature-extraction", "Model", (_HIDDEN,))
M3 = Kind("m3", "feature-extraction", "Model", (_DENSE, _SPARSE, _COLBERT, _HIDDEN))
M3_WITHOUT_HEADS = replace(M3, outputs=(_DENSE, _HIDDEN))
RERANKER = Kind("reranker", "text-classification", RERANKER_CLASS, (_LOGITS,), takes_pairs=True)

KINDS: Mapping[str, Kind] = {row.name: row for row in (EMBEDDER, M3, RERANKER)}
CHOICES = (AUTO, *KINDS)


def kind_of(wanted: str, name: str, folder: Path, encoder: Encoder) -> Kind:
    """Return the row that the user named, or for "auto" the one that the checkpoint's name and files declare."""
    kind = _declared_kind(name, folder, encoder) if wanted == AUTO else KINDS[wanted]
    if kind is RERANKER:
        _check_reranker(name, encoder)
    if kind is M3 and missing_heads(folder):
        return M3_WITHOUT_HEADS
    return kind


def _declared_kind(name: str, folder: Path, encoder: Encoder) -> Kind:
    if _is_reranker(encoder):
        return RERANKER
    if len(missing_heads(folder)) < len(HEAD_FILES) or _known_name(name, folder) in M3_NAMES:
        return M3
    return EMBEDDER


def _known_name(name: str, folder: Path) -> str:
    """Last part of a hub id or folder; folders that a training leaves go by their parent's name."""
    last = name.rpartition("/")[2]
    return folder.parent.name if last.startswith("checkpoint-") else last


def _is_reranker(encoder: Encoder) -> bool:
    return any(name.endswith(RERANKER_CLASS) for name in encoder.class_names)


def _check_reranker(name: str, encoder: Encoder) -> None:
    if encoder.class_names and not _is_reranker(encoder):
        raise CheckpointError(f"{name} is not a reranker: config.json names the class {encoder.class_names[0]}.")
    if encoder.labels != 1:
        raise UnsupportedCheckpointError(
            f"{name} gives {encoder.labels} numbers for a pair (id2label or num_labels in config.json); "
            "a reranker gives one, its score."
        )
