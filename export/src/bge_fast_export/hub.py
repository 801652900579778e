"""Fetching a checkpoint from the hub: only the files that an export reads."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bge_fast_export.errors import CheckpointNotFoundError
from bge_fast_export.heads import HEAD_FILES
from bge_fast_export.side_files import SIDE_FILES

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,127}", re.ASCII)

SMALL_FILES = (*SIDE_FILES, *HEAD_FILES.values())
SAFETENSORS_FILES = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLE_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form of a hub id."""
    return HUB_ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def fetch(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """Bring the checkpoint into the hub's cache; return its folder there and the commit."""
    if revision is not None and (REVISION.fullmatch(revision) is None or ".." in revision):
        raise CheckpointNotFoundError(f'"{revision[:40]}" cannot be a revision: expected a branch, tag or commit.')
    folder = _snapshot(hub_id, revision, (*SMALL_FILES, *SAFETENSORS_FILES))
    commit = folder.name
    if not any(folder.glob("model*.safetensors")):
        folder = _snapshot(hub_id, commit, PICKLE_FILES)
    return folder, commit


def _snapshot(hub_id: str, revision: str | None, patterns: Sequence[str]) -> Path:
    import requests
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        reason = "is gated: ask for access on its page and log in with `hf auth login`"
        raise CheckpointNotFoundError(f"{hub_id} {reason}.") from error
    except RevisionNotFoundError as error:
        raise CheckpointNotFoundError(f'{hub_id} has no revision "{revision}".') from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointNotFoundError(
            f'"{hub_id}" is neither a folder here nor a checkpoint on the hub (or it is private: '
            "log in with `hf auth login`)."
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointNotFoundError(
            f'"{hub_id}" is no folder here, is not in the cache, and the hub cannot be reached.'
        ) from error
    except (HfHubHTTPError, requests.RequestException) as error:
        raise CheckpointNotFoundError(
            f"{hub_id} could not be fetched from the hub ({type(error).__name__}); try again later."
        ) from error
