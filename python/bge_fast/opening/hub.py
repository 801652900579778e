"""From what the user calls a model to its files: folders, hub repositories, the cache."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelNotFoundError
from bge_fast.opening.choice import SIDE_FILES, VOCABULARIES, Choice, choices, chosen
from bge_fast.opening.files import ModelFiles, files_of_folder
from bge_fast.opening.manifest import read_manifest

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def find_model(
    name: str, computations: Sequence[str], cache_dir: str | None = None, download: bool = True, kind: str | None = None
) -> ModelFiles:
    """Return where the model lies, as a folder or in the hub's cache, downloading what is missing.

    Args:
        name: a folder, or a hub id such as ``BAAI/bge-small-en-v1.5``.
        computations: precisions of the computation that will do, best first.
        cache_dir: the hub's cache; by default what ``HF_HUB_CACHE`` or ``HF_HOME`` say.
        kind: what it is to be opened as: ``embedder``, ``m3`` or ``reranker``; ``None`` for any.
        download: whether the network may be used; it is never used for a complete cached model.

    Raises:
        ModelNotFoundError: no such folder or repository, not complete while offline, or no graph of these precisions.
        ModelFormatError: the files contradict each other.
    """
    try:
        folder = Path(name).expanduser()
        is_folder, is_there = bool(name) and folder.is_dir(), bool(name) and folder.exists()
    except (RuntimeError, OSError, ValueError) as error:  # no such user, a name too long, a NUL
        raise ModelNotFoundError(f"there is no folder {name[:80]!r}: {error}") from error
    if is_folder:
        return files_of_folder(name, folder, computations, wanted=kind)
    if is_there:
        raise ModelNotFoundError(f"{name} is a file; pass the folder it lies in")
    if not _REPOSITORY.fullmatch(name) or ".." in name or name.startswith("models/"):
        raise ModelNotFoundError(f"there is no folder {name!r}, and it is not a hub id such as BAAI/bge-small-en-v1.5")
    return _find_in_hub(name, computations, cache_dir, download, kind)


def _find_in_hub(
    name: str, computations: Sequence[str], cache_dir: str | None, download: bool, kind: str | None
) -> ModelFiles:
    cached = _snapshot(name, cache_dir, [], local=True)
    if cached and not missing_files(name, cached, computations):
        return files_of_folder(name, cached, computations, commit=cached.name, wanted=kind)
    if not download or _offline():
        absent = missing_files(name, cached, computations) if cached else ["everything"]
        why = " and offline mode is on" if _offline() else ""
        raise ModelNotFoundError(
            f"{name} is not complete in the cache (missing {', '.join(absent)}){why}. "
            f"Once, with network: bge-fast info {name} --download"
        )
    folder = _download(name, computations, cache_dir)
    absent = missing_files(name, folder, computations) if folder else ["everything"]
    # Where neither weights nor a graph came, reading the folder says so, and what to do.
    absent = [file for file in absent if file in SIDE_FILES or not folder]
    if folder is None or absent:
        raise ModelNotFoundError(
            f"{name} is not complete in the cache (missing {', '.join(absent)}), and the hub cannot be reached or does "
            "not have it"
        )
    return files_of_folder(name, folder, computations, commit=folder.name, wanted=kind)


def _download(name: str, computations: Sequence[str], cache_dir: str | None) -> Path | None:
    """Fetch side files, and of what can be opened the best that the repository has."""
    folder = _snapshot(name, cache_dir, list(SIDE_FILES), local=False)
    vocabularies = [] if folder and (folder / "tokenizer.json").is_file() else VOCABULARIES
    for choice in _asked_for(name, folder, computations) if folder else []:
        # Asked for with the side files, since the client logs a warning where nothing at all matches.
        files = [*SIDE_FILES, *vocabularies, *choice.files, *([choice.data] if choice.data else [])]
        folder = _snapshot(name, cache_dir, files, local=False)
        if folder and not choice.missing(folder):
            break
    return folder


def missing_files(name: str, folder: Path, computations: Sequence[str]) -> list[str]:
    """Files that a download of this model would bring and that are not in ``folder``."""
    manifest = read_manifest(name, folder)
    tokenizer = next((file for file in VOCABULARIES if (folder / file).is_file()), "tokenizer.json")
    needed = ["config.json", tokenizer, *(file for file in manifest.get("files", {}) if file in SIDE_FILES)]
    # What was begun is what is opened. Else any choice, complete, will do; of those that are not, the best.
    begun = None if manifest else chosen(folder, manifest, computations)
    missing = [one.missing(folder) for one in ([begun] if begun else _asked_for(name, folder, computations))]
    return [file for file in needed if not (folder / file).is_file()] + (min(missing, key=bool) if missing else [])


def _asked_for(name: str, folder: Path, computations: Sequence[str]) -> list[Choice]:
    """Choices in the order to ask for them: without a manifest, trying is how to know what the repository has."""
    manifest = read_manifest(name, folder)
    found = list(choices(folder, manifest, computations))
    return found[:1] if manifest else found


def _offline() -> bool:
    return any(os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in _OFFLINE)


def _snapshot(name: str, cache_dir: str | None, patterns: list[str], local: bool) -> Path | None:
    """The repository's folder in the cache, after fetching ``patterns`` unless ``local``; ``None`` without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )
    from tqdm.auto import tqdm

    class TerminalBar(tqdm):  # type: ignore[type-arg]
        """Shown on a terminal only, as tqdm has it for ``disable=None``."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": kwargs.get("disable") or None})

    try:
        found = snapshot_download(
            name, cache_dir=cache_dir, local_files_only=local, allow_patterns=patterns, tqdm_class=TerminalBar
        )
        return Path(found)
    except GatedRepoError as error:
        raise ModelNotFoundError(f"{name} is gated: accept its terms on the hub and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(f"there is no folder {name}, and no such repository on the hub") from error
    except LocalEntryNotFoundError as error:
        if local:
            return None
        raise ModelNotFoundError(
            f"there is no folder {name}, it is not in the hub's cache, and the hub cannot be reached. "
            "Pass a folder, or fetch it where there is network and set HF_HOME or cache_dir"
        ) from error
    except HfHubHTTPError as error:
        raise ModelNotFoundError(f"{name} could not be downloaded: {error}") from error
