"""Which files hold the checkpoint's weights, and whether they are all there."""

import json
from pathlib import Path

from bge_fast_export.errors import CheckpointError

# In order of preference: safetensors holds numbers only, a pickle is read with torch's weights-only reader.
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

LFS_POINTER = b"version https://git-lfs"


def weight_file(folder: Path) -> str:
    """Return the name of the weight file or of its index, after checking that all shards are there."""
    for name in (*SAFETENSORS, *PICKLES):
        if (folder / name).is_file():
            shards = _shards(folder / name) if name.endswith(".index.json") else [name]
            for shard in shards:
                check_file(folder, shard)
            return name
    raise CheckpointError(f"{folder.name} has no weights: neither model.safetensors nor pytorch_model.bin is there.")


def check_file(folder: Path, name: str) -> None:
    """Raise unless the file is there and holds something of its own."""
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"{name}, which the index names, is missing from {folder.name}.")
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        raise CheckpointError(f"{name} is a Git LFS pointer, not weights; run `git lfs pull` in {folder.name}.")
    if not start:
        raise CheckpointError(f"{name} is empty.")


def _shards(index: Path) -> list[str]:
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index.name} is not an index of weight files.") from error
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise CheckpointError(f"{index.name} names a weight file outside its folder.")
    return names
