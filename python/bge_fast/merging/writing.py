"""Weight files that are written tensor by tensor: safetensors, and torch's zip for the heads of BGE-M3."""

import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np

from bge_fast.merging.tensors import Numbers, number_type

_STORAGES = {"F64": "DoubleStorage", "F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage"}


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is to be written."""

    name: str
    kind: str
    """Its type, as safetensors calls it."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * number_type(self.kind).itemsize


class SafetensorsFile:
    """A safetensors file whose tensors are written in any order."""

    def __init__(self, path: Path, tensors: Sequence[NewTensor]) -> None:
        # The largest types first, as the format's own library does, so that each tensor is aligned.
        tensors = sorted(tensors, key=lambda tensor: -number_type(tensor.kind).itemsize)
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        places, end = {}, 0
        for tensor in tensors:
            places[tensor.name] = end
            offsets = [end, end + tensor.size]
            header[tensor.name] = {"dtype": tensor.kind, "shape": list(tensor.shape), "data_offsets": offsets}
            end += tensor.size
        written = json.dumps(header, ensure_ascii=False).encode()
        written += b" " * (-len(written) % 8)
        self._file = path.open("wb")
        self._file.write(len(written).to_bytes(8, "little") + written)
        self._file.truncate(8 + len(written) + end)
        self._places = {name: 8 + len(written) + place for name, place in places.items()}

    def write(self, name: str, blocks: Iterable[Numbers]) -> None:
        """Write the numbers of one tensor."""
        self._file.seek(self._places[name])
        for block in blocks:
            self._file.write(np.ascontiguousarray(block).data)

    def __enter__(self) -> Self:
        """The file is complete when the block ends."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Close it."""
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()


class SafetensorsShards:
    """The weight files of a checkpoint, written in any order, with the index that several of them have."""

    def __init__(self, folder: Path, tensors: Mapping[str, Sequence[NewTensor]]) -> None:
        """``tensors`` are those of each file, by the name of the file whose place it takes, which may be torch's."""
        self._folder = folder
        self._shards = {_safetensors(file): tensors for file, tensors in tensors.items()}
        self._written: dict[str, SafetensorsFile] = {}
        self._stack = ExitStack()

    def write(self, name: str, blocks: Iterable[Numbers]) -> None:
        """Write the numbers of one tensor."""
        self._written[name].write(name, blocks)

    def __enter__(self) -> Self:
        """The files are complete when the block ends."""
        for file, tensors in self._shards.items():
            (self._folder / file).parent.mkdir(exist_ok=True)
            opened = self._stack.enter_context(SafetensorsFile(self._folder / file, tensors))
            self._written |= dict.fromkeys((tensor.name for tensor in tensors), opened)
        if len(self._shards) > 1:
            self._write_index()
        return self

    def __exit__(self, *error: Any) -> None:
        """Close them."""
        self._stack.__exit__(*error)

    def _write_index(self) -> None:
        places = {tensor.name: Path(file).name for file, tensors in self._shards.items() for tensor in tensors}
        size = sum(tensor.size for tensors in self._shards.values() for tensor in tensors)
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
        path = self._folder / Path(next(iter(self._shards))).parent / "model.safetensors.index.json"
        path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _safetensors(file: str) -> str:
    """The name of the file that takes the place of one of torch's."""
    if not file.endswith(".bin"):
        return file
    return file.replace("pytorch_model", "model").removesuffix(".bin") + ".safetensors"


def write_torch(path: Path, tensors: Mapping[NewTensor, Numbers]) -> None:
    """Write small tensors as ``torch.save`` does, for those who read them with ``torch.load``."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", _pickled(list(tensors)))
        archive.writestr("archive/byteorder", "little")
        for place, numbers in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{place}", numbers.tobytes())
        archive.writestr("archive/version", "3\n")


def _pickled(tensors: Sequence[NewTensor]) -> bytes:
    """A pickle, protocol 2, of a dictionary of these tensors."""
    entries = b"".join(_text(tensor.name) + _rebuilt(tensor, place) for place, tensor in enumerate(tensors))
    return b"\x80\x02}(" + entries + b"u."


def _rebuilt(tensor: NewTensor, place: int) -> bytes:
    storage = b"".join(
        (_text("storage"), _named("torch", _STORAGES[tensor.kind]), _text(str(place)), _text("cpu"))
    ) + _number(prod(tensor.shape))
    strides = [prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape))]
    arguments = (
        _tuple(storage) + b"Q" + _number(0)
        + _tuple(b"".join(map(_number, tensor.shape))) + _tuple(b"".join(map(_number, strides)))
        + b"\x89" + _named("collections", "OrderedDict") + b")R"
    )  # fmt: skip
    return _named("torch._utils", "_rebuild_tensor_v2") + _tuple(arguments) + b"R"


def _tuple(items: bytes) -> bytes:
    return b"(" + items + b"t"


def _number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def _named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()
