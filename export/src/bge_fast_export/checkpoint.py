"""One checkpoint, found and checked: everything that can be said about it before torch is loaded."""

import os
from dataclasses import dataclass
from pathlib import Path

from bge_fast_export import hub
from bge_fast_export.encoder import Encoder, read_encoder
from bge_fast_export.errors import CheckpointError, CheckpointNotFoundError
from bge_fast_export.side_files import CONFIG, check_tokenizer_present, declared_pooling
from bge_fast_export.weights import weight_file


@dataclass(frozen=True)
class Source:
    """Where a checkpoint came from, as the manifest records it."""

    checkpoint: str
    revision: str | None
    commit: str | None


@dataclass(frozen=True)
class Checkpoint:
    """A folder with configuration, tokenizer and weights."""

    folder: Path
    source: Source
    encoder: Encoder
    pooling: str | None


def open_checkpoint(name: str, revision: str | None) -> Checkpoint:
    """Find a local folder or fetch a hub id, and check that it is a checkpoint of a known architecture."""
    folder, source = _locate(name, revision)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{name} is not a checkpoint: it has no config.json.")
    encoder = read_encoder(folder / CONFIG)
    check_tokenizer_present(folder)
    weight_file(folder)
    return Checkpoint(folder, source, encoder, declared_pooling(folder))


def _locate(name: str, revision: str | None) -> tuple[Path, Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        if revision is not None:
            raise CheckpointNotFoundError(f"--revision is for hub ids, and {name} is a folder.")
        return path.resolve(), Source(Path(os.path.abspath(path)).name, None, None)
    if path.exists():
        raise CheckpointError(f"{name} is a file; expected a checkpoint folder or a hub id.")
    if not hub.is_hub_id(name):
        raise CheckpointNotFoundError(f"{name}: no such folder (and not a hub id such as BAAI/bge-small-en-v1.5).")
    folder, commit = hub.fetch(name, revision)
    return folder, Source(name, revision, commit)
