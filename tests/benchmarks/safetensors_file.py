"""Weights in safetensors files, read and written with numpy alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def read(path: Path) -> dict[str, Array]:
    """Name → array over the mapped file. All must be float32."""
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_size))
    header.pop("__metadata__", None)
    assert all(facts["dtype"] == "F32" for facts in header.values()), f"{path} has other numbers than float32"
    data = np.memmap(path, np.uint8, "r", offset=8 + header_size)
    return {
        name: data[slice(*facts["data_offsets"])].view(np.float32).reshape(facts["shape"])
        for name, facts in header.items()
    }


def write(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    make: Callable[[str, tuple[int, ...]], NDArray[Any]],
    dtype: str = "F32",
) -> None:
    """A file of float32 arrays, or of the bits of ``BF16`` ones, that are made one after the other."""
    stored = np.dtype("<f4" if dtype == "F32" else "<u2")
    # transformers refuses a file that does not say this.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + stored.itemsize * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            file.write(make(name, shape).astype(stored).tobytes())
