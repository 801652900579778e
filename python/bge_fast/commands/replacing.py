"""A file that takes another's place when it is complete, and what killed runs left of such files."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = ".bge-fast-"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    It gets mode and owner of the file whose place it takes, as far as the system lets it.

    Raises:
        OSError: it cannot be written there; names ``path``.
    """
    target = writable(path)
    _sweep(target.parent)
    before = target.stat() if target.exists() else None
    with errors_naming(path), _opened_beside(target, private=before is not None) as file:
        temporary = Path(file.name)
        try:
            if before:
                like(file, before)
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def writable(path: Path) -> Path:
    """Where a file would really be written.

    Raises:
        OSError: it is a folder, or there is no folder for it; names ``path``.
    """
    target = path.resolve()
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    return target


def _opened_beside(target: Path, private: bool) -> BinaryIO:
    """A new file beside ``target``, locked for as long as it is open."""
    mode = 0o600 if private else 0o666
    while True:
        temporary = target.with_name(_TEMPORARY + secrets.token_hex(4))
        try:
            file = open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if temporary.exists():  # else somebody swept it before it was locked
                return file
        except (KeyboardInterrupt, SystemExit):
            temporary.unlink(missing_ok=True)
            raise
        file.close()


def _sweep(folder: Path) -> None:
    """Remove what runs that were killed left: files that nobody has locked."""
    for left in folder.glob(f"{_TEMPORARY}*"):
        if not left.is_file():
            continue
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def like(file: BinaryIO, before: os.stat_result) -> None:
    """Give a file mode and owner of another, as far as the system lets it."""
    number = file.fileno()
    for owner, group in ((before.st_uid, -1), (-1, before.st_gid)):
        with contextlib.suppress(PermissionError):  # a file may be given away by root alone
            os.fchown(number, owner, group)
    mode = stat.S_IMODE(before.st_mode)
    if os.fstat(number).st_gid != before.st_gid:
        mode &= ~stat.S_IRWXG  # what one group may do is not for another
    os.fchmod(number, mode)


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Put the name of the file that is written into errors that have none, such as those of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError) or error.filename is not None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
