"""From what the user calls a model to the files that are opened: folders, hub repositories, the cache."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, ModelNotFoundError
from bge_fast.opening.checkpoint import INDEXES, WEIGHTS, shard_names, weight_names
from bge_fast.opening.jsonfiles import read_json
from bge_fast.opening.source import MANIFEST, SIDE_FILES, Source, source_from_folder

_PLAIN_GRAPH = ["onnx/model.onnx", "onnx/model.onnx_data"]
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def find_model(
    name: str, precisions: Sequence[str], cache_dir: str | None = None, download: bool = True, kind: str | None = None
) -> Source:
    """Return where the model lies, as a folder or in the hub's cache, downloading what is missing.

    Args:
        name: a folder, or a hub id such as ``BAAI/bge-small-en-v1.5``.
        precisions: precisions that will do, best first.
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
        return source_from_folder(name, folder, precisions, wanted=kind)
    if is_there:
        raise ModelNotFoundError(f"{name} is a file; pass the folder it lies in")
    if not _REPOSITORY.fullmatch(name) or ".." in name or name.startswith("models/"):
        raise ModelNotFoundError(f"there is no folder {name!r}, and it is not a hub id such as BAAI/bge-small-en-v1.5")
    return _find_in_hub(name, precisions, cache_dir, download, kind)


def _find_in_hub(
    name: str, precisions: Sequence[str], cache_dir: str | None, download: bool, kind: str | None
) -> Source:
    cached = _snapshot(name, cache_dir, [], local=True)
    if cached and not missing_files(cached, precisions):
        return source_from_folder(name, cached, precisions, commit=cached.name, wanted=kind)
    if not download or _offline():
        missing = ", ".join(missing_files(cached, precisions)) if cached else "everything"
        why = " and offline mode is on" if _offline() else ""
        raise ModelNotFoundError(
            f"{name} is not complete in the cache (missing {missing}){why}. "
            f"Once, with network: bge-fast info {name} --download"
        )
    folder = _snapshot(name, cache_dir, list(SIDE_FILES), local=False)
    for files in _choices(folder, precisions) if folder else []:
        # Asked for with the side files, since the client logs a warning where nothing at all matches.
        folder = _snapshot(name, cache_dir, [*SIDE_FILES, *files], local=False)
        if folder and all(_present(folder, file) for file in files):
            break
    absent = [file for file in missing_files(folder, precisions) if file in SIDE_FILES] if folder else ["everything"]
    if folder is None or absent:
        raise ModelNotFoundError(
            f"{name} is not complete in the cache (missing {', '.join(absent)}), and the hub cannot be reached or does "
            "not have it"
        )
    return source_from_folder(name, folder, precisions, commit=folder.name, wanted=kind)


def missing_files(folder: Path, precisions: Sequence[str]) -> list[str]:
    """Files that a download of this model would bring and that are not in ``folder``."""
    needed = ["config.json", "tokenizer.json"]
    if (folder / MANIFEST).is_file():
        needed += [file for file in _table(folder, "files") if file in SIDE_FILES]
    choices = _choices(folder, precisions)
    # Weights that were begun are what is opened. Else any choice, complete, will do; of those that are not, the best.
    if len(choices) > 1 and (begun := weight_names(folder)):
        choices = [begun]
    missing = [[file for file in files if not _present(folder, file)] for files in choices]
    return [file for file in needed if not _present(folder, file)] + (min(missing, key=bool) if missing else [])


def _choices(folder: Path, precisions: Sequence[str]) -> list[list[str]]:
    """What could be opened: for each choice its files, best choice first."""
    if (folder / MANIFEST).is_file():
        return [_graph_files(folder, precisions)]
    if "fp32" not in precisions:
        return []
    indexes = zip(WEIGHTS, INDEXES, strict=True)
    weights = [shard_names(folder / index) if (folder / index).is_file() else [single] for single, index in indexes]
    return [*weights, _PLAIN_GRAPH]


def _graph_files(folder: Path, precisions: Sequence[str]) -> list[str]:
    """Names of a model folder's graph of the first precision there is, and of its external data."""
    for precision in precisions:
        for graph, facts in _table(folder, "graphs").items():
            if facts.get("precision") == precision:
                return [file for file in _table(folder, "files") if file in (graph, f"{graph}_data")]
    return []


def _table(folder: Path, key: str) -> dict[str, dict[str, Any]]:
    """A table of the manifest; empty where it is none, which is an error when the folder is opened."""
    table = read_json(folder / MANIFEST).get(key)
    return table if isinstance(table, dict) and all(isinstance(facts, dict) for facts in table.values()) else {}


def _present(folder: Path, file: str) -> bool:
    if (folder / file).is_file():
        return True
    # A plain repository does not say whether its graph has external data; the graph itself does.
    graph = folder / "onnx/model.onnx"
    return file.endswith("_data") and graph.is_file() and not _names_external_data(graph)


def _names_external_data(graph: Path) -> bool:
    # Weights make a graph large; one whose weights lie elsewhere is small.
    return graph.stat().st_size < 64 << 20 and b"model.onnx_data" in graph.read_bytes()


def _offline() -> bool:
    return any(os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in _OFFLINE)


_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


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


def verify_files(source: Source) -> list[str]:
    """Compare the sha256 of every file that is here with the manifest; return the names that were checked.

    A hub download brings only the files that are needed, so listed files may be missing.

    Raises:
        ModelFormatError: a file differs; names it and says what to do.
    """
    checked = []
    for file, facts in source.manifest.get("files", {}).items():
        if not (source.folder / file).exists():
            continue
        with (source.folder / file).open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != facts.get("sha256"):
            raise ModelFormatError(
                f"{file}: sha256 differs from {MANIFEST} (got {digest[:4]}…, want {str(facts.get('sha256'))[:4]}…). "
                "The folder was changed after it was made; delete it and export or download again"
            )
        checked.append(file)
    return checked
