"""Vectors of texts in a file: encoded once, and after an interruption only those that are missing."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bge_fast.search.dense import open_vectors

# Texts encoded between two writes: what is lost at most.
_WINDOW = 4096

Encode = Callable[[list[str]], NDArray[np.float32]]


def stored_vectors(
    file: str | os.PathLike[str],
    texts: Sequence[str],
    encode: Encode,
    made_by: Mapping[str, Any],
    progress: Callable[[int], object] | None = None,
) -> NDArray[Any]:
    """Vectors of ``texts``, mapped from ``file``; what is not in it yet is encoded into it.

    Beside it lies ``FILE.json``, which says whose vectors they are; those of other texts, or made in another way, are
    replaced.

    Args:
        encode: gives a float32 row for each text.
        made_by: whatever decides what the vectors are: the model and its options.
        progress: called with the number of texts whose vectors are stored.
    """
    path = Path(file)
    described = path.with_name(f"{path.name}.json")
    identity = {**made_by, "texts": len(texts), "sha256": _fingerprint(texts)}
    if not (path.is_file() and _read(described) == identity):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.part-{_fingerprint([json.dumps(identity, sort_keys=True)])[:12]}")
        with partial.open("ab+") as opened:
            _complete(opened, texts, encode, progress)
        described.unlink(missing_ok=True)  # first: a description never stands beside vectors that it does not describe
        partial.replace(path)
        described.write_text(json.dumps(identity, indent=2, ensure_ascii=False), encoding="utf-8")
    return open_vectors(path)


def _complete(file: BinaryIO, texts: Sequence[str], encode: Encode, progress: Callable[[int], object] | None) -> None:
    """Append the rows that are missing to a file of numpy's format whose header counts all of them."""
    done, width = _rows_in(file, len(texts))
    if width is None:
        width = encode([]).shape[1]
        file.truncate(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(texts), width)}
        np.lib.format.write_array_header_1_0(file, header)
    for start in range(done, len(texts), _WINDOW):
        rows = encode(list(texts[start : start + _WINDOW]))
        file.write(np.ascontiguousarray(rows, "<f4").data)
        file.flush()
        if progress:
            progress(start + len(rows))


def _rows_in(file: BinaryIO, count: int) -> tuple[int, int | None]:
    """How many whole rows an interrupted run left, and their width; half a row is cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    except ValueError:
        return 0, None
    if len(shape) != len(("rows", "width")) or shape[0] != count:
        return 0, None
    start, row = file.tell(), 4 * shape[1]
    rows = (size - start) // row if row else 0
    file.truncate(start + rows * row)
    file.seek(0, os.SEEK_END)
    return rows, shape[1]


def _fingerprint(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
