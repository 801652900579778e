"""JSON files of a model, read with errors that name file and key."""

import json
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError

# An index of a thousand shards has 10 MB.
_MAX_BYTES = 64 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelFormatError: not readable as one, or of more than 64 MB; names the file.
    """
    value = _read(path)
    if not isinstance(value, dict):
        raise ModelFormatError(f"{path} holds no JSON object")
    return value


def read_json_array(path: Path) -> list[Any]:
    """Read a JSON array; errors as of `read_json`."""
    value = _read(path)
    if not isinstance(value, list):
        raise ModelFormatError(f"{path} holds no JSON array")
    return value


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("it has more than 64 MB")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error


def whole_number_of(
    values: dict[str, Any], key: str, default: int | None, at_least: int, file: str = "config.json"
) -> int:
    """A whole number below 2³¹, or ``default`` where there is none.

    Raises:
        ModelFormatError: anything else, or nothing and no default; names file, key and value.
    """
    value = values.get(key)
    if value is None:
        value = default
    if value is None:
        raise ModelFormatError(f"{file} does not say {key}")
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value < 2**31:
        raise ModelFormatError(f"{key} of {file} must be a whole number of at least {at_least}, found {value!r:.80}")
    return value
