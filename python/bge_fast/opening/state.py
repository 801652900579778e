"""Whether a folder's files are still those that were read: one model is opened from one state of its folder."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bge_fast.errors import ModelFormatError
from bge_fast.opening.choice import SIDE_FILES, VOCABULARIES


@dataclass(frozen=True)
class FolderState:
    """What its files were at a moment."""

    folder: Path
    weights: tuple[Path, ...]
    stamps: dict[str, tuple[int, int, int, int]]

    @classmethod
    def of(cls, folder: Path, weights: Iterable[Path] = ()) -> "FolderState":
        """The state now, of the files beside weights and graphs and of these ``weights``."""
        weights = tuple(weights)
        stamps = {}
        for name in (*SIDE_FILES, *VOCABULARIES, *map(str, weights)):
            try:
                file = os.stat(folder / name)
            except OSError:
                continue
            stamps[name] = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)
        return cls(folder, weights, stamps)

    def changed(self) -> list[str]:
        """Names of files that were added, replaced, written to or removed since."""
        now = FolderState.of(self.folder, self.weights).stamps
        return sorted(name for name in now.keys() | self.stamps.keys() if now.get(name) != self.stamps.get(name))

    def check(self, name: str) -> None:
        """See that all was read from one state.

        Raises:
            ModelFormatError: names the files that changed meanwhile.
        """
        if changed := self.changed():
            raise ModelFormatError(
                f"{name}: {', '.join(changed)} changed while the model was being opened, so that old and new files "
                "could be mixed. Open the model again"
            )
