"""Small files as `torch.save` writes them, without torch: a pickle of what is where, and one file for each tensor."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def state_dict(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    """The bytes of a file with these tensors."""
    items = [_text(name) + _tensor(str(key), tensor) for key, (name, tensor) in enumerate(tensors.items())]
    parts = [pickle.PROTO, b"\x02", _EMPTY_DICT, pickle.MARK, *items, pickle.SETITEMS, pickle.STOP]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"".join(parts))
        archive.writestr("archive/byteorder", "little")
        for key, tensor in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{key}", tensor.astype("<f4").tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _tensor(key: str, tensor: NDArray[np.float32]) -> bytes:
    """`torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks)`."""
    storage = [_text("storage"), _name("torch", "FloatStorage"), _text(key), _text("cpu"), _number(tensor.size)]
    strides = tuple(stride // tensor.itemsize for stride in tensor.strides)
    sizes = [_tuple(map(_number, numbers)) for numbers in (tensor.shape, strides)]
    arguments = [_tuple(storage) + pickle.BINPERSID, _number(0), *sizes, pickle.NEWFALSE, _EMPTY_DICT]
    return _name("torch._utils", "_rebuild_tensor_v2") + _tuple(arguments) + pickle.REDUCE


def _name(module: str, attribute: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


_EMPTY_DICT = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode("ascii")


def _number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _tuple(parts: Iterable[bytes]) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE
