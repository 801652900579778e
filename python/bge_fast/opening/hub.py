"""From what the user calls a model to its files: folders, hub repositories, the cache."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bge_fast.errors import BGEFastError, ModelNotFoundError, UnsupportedModelError, quoted
from bge_fast.opening.adapter import Adapter, is_adapter, read_adapter
from bge_fast.opening.choice import SIDE_FILES, VOCABULARIES, WEIGHTS, Choice, choices, chosen
from bge_fast.opening.files import ModelFiles, files_of_folder
from bge_fast.opening.hub_failures import failure, without_password
from bge_fast.opening.manifest import read_manifest

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# Linear layers behind the pooling are small: fetched where there are any.
_OF_MODULES = tuple(f"*_Dense/{file}" for file in ("config.json", *WEIGHTS))
_MOST_OF_A_PATH = 200
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def find_model(
    name: str,
    computations: Sequence[str],
    cache_dir: str | None = None,
    download: bool = True,
    kind: str | None = None,
    onnx_file: str | None = None,
) -> ModelFiles:
    """Return where the model lies, as a folder or in the hub's cache, downloading what is missing.

    Args:
        name: a folder, or a hub id such as ``BAAI/bge-small-en-v1.5``.
        computations: precisions of the computation that will do, best first.
        cache_dir: the hub's cache; by default what ``HF_HUB_CACHE`` or ``HF_HOME`` say.
        kind: what it is to be opened as: ``embedder``, ``m3`` or ``reranker``; ``None`` for any.
        onnx_file: the graph that the caller chose; ``None`` for the best of what there is.
        download: whether the network may be used; it is never used for a complete cached model.

    Raises:
        ModelNotFoundError: no such folder or repository, not complete while offline, or no graph of these precisions.
        ModelFormatError: the files contradict each other.
    """
    try:
        folder = Path(name).expanduser()
        is_folder, is_there = bool(name) and folder.is_dir(), bool(name) and folder.exists()
    except (RuntimeError, OSError, ValueError) as error:  # no such user, a name too long, a NUL
        why = error.strerror if isinstance(error, OSError) else error
        raise ModelNotFoundError(f"there is no folder {quoted(name)}: {why}") from error
    if is_folder:
        with _unreadable_told(name):
            if is_adapter(folder):
                return _adapted(read_adapter(name, folder), computations, cache_dir, kind)
            return files_of_folder(name, folder, computations, wanted=kind, onnx_file=onnx_file)
    if is_there:
        raise ModelNotFoundError(f"{name} is a file; pass the folder it lies in")
    if not _REPOSITORY.fullmatch(name) or ".." in name or name.startswith("models/"):
        raise ModelNotFoundError(
            f"there is no folder {quoted(name, _MOST_OF_A_PATH)}, and it is not a hub id such as BAAI/bge-small-en-v1.5"
        )
    return _find_in_hub(name, computations, cache_dir, download, kind, onnx_file)


def _adapted(adapter: Adapter, computations: Sequence[str], cache_dir: str | None, kind: str | None) -> ModelFiles:
    """The files of an adapter's base, with the adapter; the network is not used for it.

    Raises:
        ModelNotFoundError: the base is not here; says how to get or merge it.
    """
    beside = adapter.folder / adapter.base
    base = str(beside) if not Path(adapter.base).expanduser().is_dir() and beside.is_dir() else adapter.base
    try:
        files = find_model(base, computations, cache_dir, download=False, kind=kind)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{adapter.name} is a LoRA adapter, and its base {quoted(adapter.base)} is neither a folder nor complete "
            f"in the hub's cache. Once, with network: bge-fast download {adapter.base:.120}. Or merge it: "
            f"{adapter.how_to_merge()}"
        ) from error
    if files.sizes is None or files.adapter is not None:
        what = "graph" if files.adapter is None else "second adapter"
        raise UnsupportedModelError(
            f"{adapter.name} is a LoRA adapter, and its base {quoted(adapter.base)} has no weights to merge it into "
            f"but a {what}. Merge it: {adapter.how_to_merge()}"
        )
    return replace(files, name=adapter.name, adapter=adapter, tokenizer=adapter.tokenizer)


def _find_in_hub(
    name: str,
    computations: Sequence[str],
    cache_dir: str | None,
    download: bool,
    kind: str | None,
    onnx_file: str | None,
) -> ModelFiles:
    cached = _cached(name, cache_dir)
    absent = missing_files(name, cached, computations, onnx_file) if cached else ["everything"]
    if cached and not absent:
        with _unreadable_told(name):
            return files_of_folder(name, cached, computations, cached.name, kind, onnx_file)
    missing = f"{name} is not complete in the hub's cache (missing {', '.join(absent)})"
    if not download or _offline():
        why = " and offline mode is on" if _offline() else ""
        raise ModelNotFoundError(f"{missing}{why}. Once, with network: bge-fast download {name}")
    folder, listed = _download(
        name, computations, cache_dir, onnx_file, missing if cached else f"there is no folder {name}"
    )
    # Where neither weights nor a graph came, reading the folder says so, and what to do.
    if absent := [file for file in missing_files(name, folder, computations, onnx_file) if file in SIDE_FILES]:
        raise ModelNotFoundError(
            f"{name} is not complete in the hub's cache (missing {', '.join(absent)}), and the hub does not have it"
        )
    with _unreadable_told(name):
        return files_of_folder(name, folder, computations, folder.name, kind, onnx_file, listed)


def _download(
    name: str, computations: Sequence[str], cache_dir: str | None, onnx_file: str | None, missing: str
) -> tuple[Path, list[str]]:
    """Fetch side files, and of what can be opened the best that the repository has; return its graphs' names too.

    Raises:
        ModelNotFoundError: says what is ``missing``, and what the hub said.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

    with _failures_told(name, missing):
        # The client's own questions before a download have no bound in time.
        about = HfApi().model_info(name, revision="main", timeout=HF_HUB_ETAG_TIMEOUT)
        folder = _snapshot(name, cache_dir, [*SIDE_FILES, *_OF_MODULES])
        vocabularies = [] if (folder / "tokenizer.json").is_file() else VOCABULARIES
        for choice in _asked_for(name, folder, computations, onnx_file):
            # Asked for with the side files, since the client logs a warning where nothing at all matches.
            files = [*SIDE_FILES, *vocabularies, *choice.files, *([choice.data] if choice.data else [])]
            folder = _snapshot(name, cache_dir, files)
            if not choice.missing(folder):
                break
    files = [file.rfilename for file in about.siblings or ()]
    return folder, [file for file in files if file.endswith(".onnx")]


def missing_files(name: str, folder: Path, computations: Sequence[str], onnx_file: str | None = None) -> list[str]:
    """Files that a download of this model would bring and that are not in ``folder``."""
    manifest = read_manifest(name, folder)
    # Where tokenizer.json is not even begun, there may be what it is built of.
    begun_or_else = ("tokenizer.json", *VOCABULARIES)
    tokenizer = next((file for file in begun_or_else if os.path.lexists(folder / file)), "tokenizer.json")
    needed = ["config.json", tokenizer, *(file for file in manifest.get("files", {}) if file in SIDE_FILES)]
    # What was begun is what is opened. Else any choice, complete, will do; of those that are not, the best.
    begun = None if manifest else chosen(folder, manifest, computations, onnx_file)
    asked_for = [begun] if begun else _asked_for(name, folder, computations, onnx_file)
    missing = [one.missing(folder) for one in asked_for]
    return [file for file in needed if not (folder / file).is_file()] + (min(missing, key=bool) if missing else [])


def _asked_for(name: str, folder: Path, computations: Sequence[str], onnx_file: str | None) -> list[Choice]:
    """Choices in the order to ask for them: without a manifest, trying is how to know what the repository has."""
    manifest = read_manifest(name, folder)
    found = list(choices(folder, manifest, computations, onnx_file))
    return found[:1] if manifest else found


def _offline() -> bool:
    return any(os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in _OFFLINE)


def _cached(name: str, cache_dir: str | None) -> Path | None:
    """The repository's folder in the cache, ``None`` without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, cache_dir=cache_dir, local_files_only=True, allow_patterns=[]))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelNotFoundError(f"there is no folder {name:.200}, and it is not a hub id: {error!s:.200}") from error
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"{name} cannot be read from the hub's cache: {error!s:.200}. Delete its folder there"
        ) from error


def _snapshot(name: str, cache_dir: str | None, patterns: list[str]) -> Path:
    """The repository's folder in the cache, after fetching ``patterns``."""
    from huggingface_hub import snapshot_download
    from tqdm.auto import tqdm

    class TerminalBar(tqdm):  # type: ignore[type-arg]
        """Shown on a terminal only, as tqdm has it for ``disable=None``."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": kwargs.get("disable") or None})

    return Path(snapshot_download(name, cache_dir=cache_dir, allow_patterns=patterns, tqdm_class=TerminalBar))


@contextmanager
def _failures_told(name: str, missing: str) -> Iterator[None]:
    """Turn what the hub's client raises into errors that say what to do."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_ETAG_TIMEOUT
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except BGEFastError:
        raise
    except GatedRepoError as error:
        raise ModelNotFoundError(f"{name} is gated: accept its terms on the hub and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"{missing}, and no such repository on {without_password(ENDPOINT)}; for a private one set HF_TOKEN"
        ) from error
    except Exception as error:
        raise ModelNotFoundError(f"{missing}, and {failure(error, ENDPOINT, HF_HUB_ETAG_TIMEOUT)}") from error


@contextmanager
def _unreadable_told(name: str) -> Iterator[None]:
    """Name the file of a folder that the system does not let us look at."""
    try:
        yield
    except BGEFastError:
        raise
    except OSError as error:
        raise ModelNotFoundError(f"{name} cannot be read: {error.strerror}: {error.filename}") from error
