"""``modules.json`` of sentence-transformers: the steps of a model, and the folder of each."""

import re
from dataclasses import dataclass
from pathlib import Path

from bge_fast.errors import ModelFormatError
from bge_fast.opening.jsonfiles import read_json, read_json_array

FILE = "modules.json"
_FOLDER = re.compile(r"[\w-][\w. -]*|")


@dataclass(frozen=True)
class Module:
    """One step."""

    kind: str
    """The name of its class: ``Transformer``, ``Pooling``, ``Dense``, ``Normalize`` …"""
    folder: str
    """Where its files lie in the model's folder; empty for the folder itself."""


def modules_of(name: str, folder: Path) -> list[Module]:
    """The steps of a model, in their order; none where the file is not there.

    Raises:
        ModelFormatError: not a list of modules, or a folder elsewhere.
    """
    if not (folder / FILE).is_file():
        return []
    modules = []
    for entry in read_json_array(folder / FILE):
        kind, place = (entry.get("type"), entry.get("path", "")) if isinstance(entry, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str) or not _FOLDER.fullmatch(place):
            raise ModelFormatError(f"{name}: {FILE} lists {entry!r:.80}, which is no module of a model")
        modules.append(Module(kind.rpartition(".")[2], place))
    return modules


def transformer_folder(name: str, folder: Path) -> Path:
    """Where the encoder lies: in the folder itself, or in ``0_Transformer`` as before sentence-transformers 2."""
    config = folder / "config.json"
    if config.is_file() and "model_type" in read_json(config):
        return folder
    first = next((module.folder for module in modules_of(name, folder)), "") or "0_Transformer"
    return folder / first if (folder / first / "config.json").is_file() else folder
