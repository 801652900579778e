"""The folder that a checkpoint is made in: complete, or not there at all; and what it takes over from another."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = ".bge-fast-folder-"
_CARRIED = (".json", ".txt", ".model", ".jinja")
_NOT_CARRIED = ("trainer_state.json", "adapter_config.json", "bge_fast.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Folders of sentence-transformers' steps.
_STEP = re.compile(r"\d+_\w*")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder under another name, which becomes ``path`` when the block ends well and vanishes when it does not.

    Raises:
        FileExistsError: there is something already.
        FileNotFoundError: the folder that it is to lie in does not exist.
    """
    target = path.expanduser().absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{path} is there already: remove it, or choose another place for the result")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be made: there is no folder {path.parent}")
    _sweep(target.parent)
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
    lock = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
        folder.chmod(0o777 & ~_umask())
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def carry_over(source: Path, folder: Path) -> None:
    """Copy what is no weight: configuration, tokenizer, sentence-transformers' steps."""
    for place in (source, *(one for one in sorted(source.iterdir()) if one.is_dir() and _STEP.fullmatch(one.name))):
        for file in sorted(place.iterdir()):
            licence = file.name.upper().startswith("LICEN")
            if (licence or file.suffix in _CARRIED) and file.is_file() and not _of_weights(file.name):
                target = folder / file.relative_to(source)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, target)


def copy_files(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files to their names in a folder."""
    for name, file in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(file, folder / name)


def _of_weights(name: str) -> bool:
    return name.endswith(".index.json") or name in _NOT_CARRIED


def _sweep(parent: Path) -> None:
    """Remove what runs that were killed left: folders that nobody has locked."""
    for left in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
