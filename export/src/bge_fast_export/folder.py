"""Writing a folder so that its name never shows a part of it.

The folder is filled under a temporary name beside its place and renamed when complete. Replacing an existing
folder exchanges the two names in one step of the kernel; where the file system cannot do that, replacing is
refused.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bge_fast_export.errors import OutputError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # the same number in Linux' renameat2 and macOS' renamex_np (RENAME_SWAP)


def check_output(target: Path, overwrite: bool) -> None:
    """Raise unless `target` may be written: absent, empty, or a folder that `overwrite` may replace."""
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} exists and is not a folder.")
    if _occupied(target) and not overwrite:
        raise OutputError(f"{target} exists and is not empty; --overwrite replaces it.")


def check_replaceable(target: Path, checkpoint: Path) -> None:
    """Raise when replacing `target` would remove something else than a model folder."""
    for kept, name in (
        (checkpoint, "the checkpoint"),
        (Path.cwd(), "the current folder"),
        (Path.home(), "your home"),
    ):
        if kept == target or target in kept.parents:
            raise OutputError(f"{target} is or contains {name}; --overwrite will not replace it.")


@contextmanager
def replacing(target: Path, *, overwrite: bool, on_wait: Callable[[], None]) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends without error it becomes `target` in one step."""
    created = _make_parents(target.parent)
    try:
        with _locked(target, on_wait):
            check_output(target, overwrite)
            _sweep(target)
            yield from _filled(target)
    except BaseException:
        _remove_empty(created)
        raise


def _filled(target: Path) -> Iterator[Path]:
    staging = target.parent / f"{_prefix(target)}{os.getpid()}"
    try:
        if _occupied(target):
            _check_exchange(target, staging)
        staging.mkdir()
        yield staging
        _give_usual_modes(staging)
        _sync_tree(staging)
        _install(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _install(staging: Path, target: Path) -> None:
    if _occupied(target):
        _exchange(staging, target)
    else:
        os.rename(staging, target)
    _sync(target.parent)


def _prefix(target: Path) -> str:
    return f".{target.name}.bge-fast-export-"


def _occupied(target: Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _make_parents(parent: Path) -> list[Path]:
    missing = [path for path in (parent, *parent.parents) if not path.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise OutputError(f"{parent} cannot be made: {error.strerror}.") from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return  # not empty: somebody else uses it by now


@contextmanager
def _locked(target: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    path = target.parent / f".{target.name}.bge-fast-lock"
    lock = _acquire(path, on_wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _acquire(path: Path, on_wait: Callable[[], None]) -> int:
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        # The holder before us removes the file: a lock on a removed file locks nobody out.
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
        os.close(lock)


def _sweep(target: Path) -> None:
    """Remove what killed exports to this target left; under the lock none of it is in use."""
    for left_over in target.parent.glob(f"{_glob_escaped(_prefix(target))}*"):
        shutil.rmtree(left_over, ignore_errors=True)


def _glob_escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _check_exchange(target: Path, staging: Path) -> None:
    """Try the exchange on two empty folders, before an export is spent on it."""
    first, second = (staging.with_name(f"{staging.name}-{end}") for end in "ab")
    try:
        first.mkdir()
        second.mkdir()
        _exchange(first, second)
    except OSError as error:
        raise OutputError(
            f"The file system of {target} cannot exchange two folders in one step ({error.strerror}); "
            "remove the old folder first, or write to another name."
        ) from error
    finally:
        _remove_empty([first, second])


def _exchange(first: Path, second: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    if sys.platform == "darwin":
        failed = library.renamex_np(*names, _RENAME_EXCHANGE)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(second))


def _give_usual_modes(folder: Path) -> None:
    """Make files as readable as the user's new files are; external data comes readable to its owner alone."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
