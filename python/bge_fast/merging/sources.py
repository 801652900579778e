"""A checkpoint that others are mixed with: its files, its tensors by today's names, its vocabulary."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError, UnsupportedModelError
from bge_fast.merging.tensors import StoredTensor, list_tensors
from bge_fast.opening.adapter import ENCODERS
from bge_fast.opening.choice import VOCABULARIES, WEIGHTS
from bge_fast.opening.files import ModelFiles
from bge_fast.opening.hub import find_model
from bge_fast.opening.kinds import HEAD_FILES

_DENSE = "Dense"
MAIN = "the weights"
Part = dict[str, Path]
"""Weight files that make up one network, by their names in the folder."""


@dataclass(frozen=True)
class Source:
    """A checkpoint as its files are."""

    name: str
    files: ModelFiles

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.files.root

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Its networks: the one with most weights, heads of BGE-M3, linear layers behind the pooling."""
        inside = self.files.folder.relative_to(self.root)
        parts = {MAIN: {str(inside / name): path for name, path in self.files.paths.items()}}
        for layer, path in self.files.head_files.items():
            parts[HEAD_FILES[layer]] = {str(inside / HEAD_FILES[layer]): path}
        for module in self.files.modules:
            file = next((one for one in WEIGHTS if (self.root / module.folder / one).is_file()), None)
            if module.kind == _DENSE and file is not None:
                parts[module.folder] = {f"{module.folder}/{file}": (self.root / module.folder / file).resolve()}
        return parts

    def tensors(self, part: str) -> dict[str, list[StoredTensor]]:
        """The tensors of a part, by the file that they are in."""
        files = self.parts[part]
        return dict(zip(files, list_tensors(list(files.values())), strict=True))

    def by_name(self, part: str) -> dict[str, StoredTensor]:
        """The tensors of a part, from whatever file."""
        if part not in self.parts:
            raise ModelFormatError(f"{self.name} is without {part}, which the first model has: leave one of them out")
        return {tensor.name: tensor for tensors in self.tensors(part).values() for tensor in tensors}


def open_source(name: str, cache_dir: str | None = None) -> Source:
    """Find a checkpoint.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError: as when a model opens.
        UnsupportedModelError: it is an exported graph or an adapter; says what to do.
    """
    files = find_model(name, ("fp32",), cache_dir)
    if files.adapter is not None:
        raise UnsupportedModelError(f"{name} is a LoRA adapter. Make a checkpoint of it first: bge-fast merge-lora")
    if files.sizes is None:
        source = files.manifest.get("source", {}).get("checkpoint") or "the checkpoint that it was made from"
        raise UnsupportedModelError(f"{name} is an exported graph, whose weights stay as they are. Take {source}")
    return Source(name, files)


def check_alike(first: Source, other: Source) -> None:
    """See that two checkpoints are of one architecture and one vocabulary.

    Raises:
        ModelFormatError: names what differs.
    """
    ours, theirs = first.files.sizes or {}, other.files.sizes or {}
    for key in (key for key in ours if ours[key] != theirs.get(key)):
        raise ModelFormatError(
            f"{first.name} and {other.name} cannot be mixed: {key} is {ours[key]} in the one and {theirs.get(key)} in "
            "the other. Mix models that were trained from the same one"
        )
    check_vocabularies(first.name, first.files.folder, other.name, other.files.folder)


def check_vocabularies(name: str, folder: Path, other: str, other_folder: Path) -> None:
    """See that two folders have the same tokens under the same ids, as far as they have any.

    Raises:
        ModelFormatError: names the first that differs.
    """
    file = next((one for one in ("tokenizer.json", *VOCABULARIES) if _both_have(folder, other_folder, one)), None)
    if file is None or (folder / file).read_bytes() == (other_folder / file).read_bytes():
        return
    if file == "tokenizer.json":
        ours, theirs = _tokens(folder / file), _tokens(other_folder / file)
        differ = next((place for place in sorted({*ours, *theirs}) if ours.get(place) != theirs.get(place)), None)
        if differ is None:
            return
        what = f"id {differ} is {ours.get(differ)!r:.80} in the one and {theirs.get(differ)!r:.80} in the other"
    else:
        what = f"their {file} differ"
    raise ModelFormatError(f"{name} and {other} have different vocabularies: {what}, so their weights do not mix")


def _both_have(folder: Path, other: Path, file: str) -> bool:
    return (folder / file).is_file() and (other / file).is_file()


def _tokens(file: Path) -> dict[int, str]:
    """Tokens by id."""
    stored: dict[str, Any] = json.loads(file.read_bytes())
    vocabulary = stored.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, dict):
        tokens = {place: token for token, place in vocabulary.items()}
    else:
        tokens = {place: piece[0] for place, piece in enumerate(vocabulary)}
    return {**tokens, **{one["id"]: one["content"] for one in stored.get("added_tokens", [])}}


def counterpart(name: str, tensors: dict[str, StoredTensor]) -> StoredTensor | None:
    """The tensor of that name, which may stand with or without what the encoder is called."""
    first, _, rest = name.partition(".")
    names = [name, *([rest] if first in ENCODERS else [f"{one}.{name}" for one in ENCODERS])]
    return next((tensors[one] for one in names if one in tensors), None)
