"""``bge_fast.json``, which the exporter writes into a model folder: read, checked, and compared with the files."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, ModelNotFoundError, quoted
from bge_fast.opening.choice import MANIFEST, SIDE_FILES
from bge_fast.opening.jsonfiles import read_json

_FORMAT = 1
_FILE_NAME = re.compile(r"(onnx/|1_Pooling/)?[A-Za-z0-9_][\w.-]*")
_MAX_FILES = 64


def read_manifest(name: str, folder: Path) -> dict[str, Any]:
    """The manifest of a folder; empty where there is none.

    Raises:
        ModelFormatError: of another format, or not what a manifest is.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != _FORMAT:
        raise ModelFormatError(
            f"{name}: {MANIFEST} has format {quoted(manifest.get('format'))}, this bge-fast reads format {_FORMAT}. "
            "Upgrade bge-fast, or export again"
        )
    files, graphs = _table(name, manifest, "files"), _table(name, manifest, "graphs")
    for graph, facts in graphs.items():
        _check_graph(name, graph, facts)
    if not isinstance(manifest.get("source"), dict):
        raise ModelFormatError(f"{name}: 'source' of {MANIFEST} is not an object")
    if len(files) > _MAX_FILES or not all(map(_FILE_NAME.fullmatch, files)):
        raise ModelFormatError(f"{name}: {MANIFEST} lists files that no model folder has")
    if unlisted := graphs.keys() - files.keys():
        raise ModelFormatError(f"{name}: {MANIFEST} does not list {', '.join(sorted(unlisted))} among its files")
    return manifest


def check_sizes(name: str, folder: Path, manifest: Mapping[str, Any]) -> None:
    """See that side files are there, and that every file that is there has the size of the manifest.

    Raises:
        ModelNotFoundError, ModelFormatError: names the file and says what to do.
    """
    for file, facts in manifest.get("files", {}).items():
        path = folder / file
        # A missing graph is noticed when it is chosen.
        if not path.exists() and file not in SIDE_FILES:
            continue
        if not path.is_file():
            raise ModelNotFoundError(f"{name}: {file} is missing, {MANIFEST} lists it. Export or download it again")
        if (size := path.stat().st_size) != facts.get("size"):
            raise ModelFormatError(
                f"{name}: {file} has {size} bytes, {MANIFEST} says {quoted(facts.get('size'))}. "
                "The folder was changed after it was made; delete it and export or download again"
            )


def verify_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Compare the sha256 of every file that is here with the manifest; return the names that were checked.

    A hub download brings only the files that are needed, so listed files may be missing.

    Raises:
        ModelFormatError: a file differs; names it and says what to do.
    """
    checked = []
    for file, facts in manifest.get("files", {}).items():
        if not (folder / file).exists():
            continue
        with (folder / file).open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != facts.get("sha256"):
            raise ModelFormatError(
                f"{file}: sha256 differs from {MANIFEST} (got {digest[:4]}…, want {str(facts.get('sha256'))[:4]}…). "
                "The folder was changed after it was made; delete it and export or download again"
            )
        checked.append(file)
    return checked


def _check_graph(name: str, graph: str, facts: Mapping[str, Any]) -> None:
    parity = facts.get("parity")
    sound = {
        "precision": isinstance(facts.get("precision"), str),
        "parity": parity is None or (isinstance(parity, dict) and _is_measured(parity.get("max_abs", 0.0))),
    }
    if wrong := next((key for key, is_sound in sound.items() if not is_sound), None):
        found = quoted(facts.get(wrong))
        raise ModelFormatError(f"{name}: {wrong!r} of {graph:.80} in {MANIFEST} is not what it may be: {found}")


def _is_measured(number: object) -> bool:
    return isinstance(number, int | float) and 0 <= number < 1 << 64


def _table(name: str, manifest: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    table = manifest.get(key)
    if not isinstance(table, dict) or not all(isinstance(facts, dict) for facts in table.values()):
        raise ModelFormatError(f"{name}: {key!r} of {MANIFEST} is not a table of facts")
    return table
