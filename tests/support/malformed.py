"""Weight files written byte by byte: sound ones, and what spoils them."""

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel
from tests.support.checkpoints import checkpoint

Tensors = dict[str, np.ndarray[Any, Any]]
Spoil = Callable[[Path], None]

WEIGHTS = "model.safetensors"
PICKLED = "pytorch_model.bin"
WORDS = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.0.attention.self.query.weight"
_KINDS = {
    "float32": ("F32", "Float"),
    "float16": ("F16", "Half"),
    "int64": ("I64", "Long"),
    "float64": ("F64", "Double"),
    "bool": ("BOOL", "Bool"),
    "uint16": ("BF16", "BFloat16"),
}


class Cases(list[Any]):
    """Functions that spoil a checkpoint, each with the error that it must give and a piece of the message."""

    def __call__(self, error: type[Exception], said: str) -> Callable[[Spoil], Spoil]:
        """Take in the decorated function."""

        def add(spoil: Spoil) -> Spoil:
            self.append(pytest.param(spoil, error, said, id=spoil.__name__))
            return spoil

        return add


# ── safetensors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def tiny_tensors() -> Tensors:
    """The tensors of the tiny BERT checkpoint."""
    return read_safetensors(checkpoint("tiny-bert") / WEIGHTS)


def read_safetensors(path: Path) -> Tensors:
    """The float32 tensors of a file."""
    header, data = split(path.read_bytes())
    tensors = {}
    for name, facts in header.items():
        if name != "__metadata__":
            start, end = facts["data_offsets"]
            tensors[name] = np.frombuffer(data[start:end], np.float32).reshape(facts["shape"])
    return tensors


def split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """A file's header and the bytes behind it."""
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def joined(header: dict[str, Any] | str, data: bytes, length: int | None = None) -> bytes:
    """A file of a header, or of whatever stands in its place, that claims to be of this length."""
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def header_of(tensors: Tensors) -> tuple[dict[str, Any], bytes]:
    """Header and data of these tensors; numbers of numpy's uint16 are the bits of bfloat16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        raw = tensor.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": _KINDS[str(tensor.dtype)][0], "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    return header, data


def safetensors(tensors: Tensors) -> bytes:
    """A sound file."""
    return joined(*header_of(tensors))


def change_header(folder: Path, name: str, **changes: Any) -> None:
    """Set what the header of the checkpoint's file says about a tensor; `None` leaves a key out."""
    header, data = split((folder / WEIGHTS).read_bytes())
    header[name] = {key: value for key, value in {**header[name], **changes}.items() if value is not None}
    (folder / WEIGHTS).write_bytes(joined(header, data))


def change_tensors(folder: Path, change: Callable[[Tensors], object]) -> None:
    """Write the checkpoint's file anew, with other tensors."""
    tensors = read_safetensors(folder / WEIGHTS)
    change(tensors)
    (folder / WEIGHTS).write_bytes(safetensors(tensors))


# ── torch's zip ───────────────────────────────────────────────────────────────────────────────────────────────────────


def text(value: str) -> bytes:
    """Opcodes for a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Opcodes for a whole number."""
    return b"\x8a\x08" + struct.pack("<q", value)


def name(module: str, attribute: str) -> bytes:
    """Opcodes for a global name."""
    return f"c{module}\n{attribute}\n".encode()


def sizes(values: Any) -> bytes:
    """Opcodes for a tuple of whole numbers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def rebuilt(
    key: str,
    shape: Any,
    *,
    kind: str = "Float",
    count: int | None = None,
    offset: int = 0,
    strides: Any = None,
    rebuild: bytes = name("torch._utils", "_rebuild_tensor_v2"),
) -> bytes:
    """Opcodes for a tensor in the storage called `key`, as `torch.save` writes them."""
    if strides is None:
        strides = [int(np.prod(shape[place + 1 :], dtype=int)) for place in range(len(shape))]
    count = int(np.prod(shape, dtype=int)) if count is None else count
    storage = text("storage") + name("torch", f"{kind}Storage") + text(key) + text("cpu") + number(count)
    hooks = b"\x89" + name("collections", "OrderedDict") + b")R"
    return rebuild + b"((" + storage + b"tQ" + number(offset) + sizes(shape) + sizes(strides) + hooks + b"tR"


def state_dict(items: dict[str, bytes]) -> bytes:
    """The pickle of a dictionary of what these opcodes make."""
    pairs = b"".join(text(key) + value for key, value in items.items())
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + pairs + b"u."


def archive(pickle: bytes, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED, **files: bytes) -> bytes:
    """A zip of a pickle and of the storages that it speaks of."""
    written = io.BytesIO()
    entries = {"data.pkl": pickle, "byteorder": b"little", "version": b"3\n", **files}
    with zipfile.ZipFile(written, "w", compression) as target:
        for file, content in {**entries, **{f"data/{key}": raw for key, raw in storages.items()}}.items():
            target.writestr(f"archive/{file}", content)
    return written.getvalue()


def parts_of(tensors: Tensors) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Each tensor's opcodes by its name, and its storage by a number."""
    keys = {key: str(place) for place, key in enumerate(tensors)}
    items = {key: rebuilt(keys[key], one.shape, kind=_KINDS[str(one.dtype)][1]) for key, one in tensors.items()}
    return items, {keys[key]: one.tobytes() for key, one in tensors.items()}


def pickled(tensors: Tensors) -> bytes:
    """A sound file, as `torch.save` writes it."""
    items, storages = parts_of(tensors)
    return archive(state_dict(items), storages)


def turn_into_pickled(folder: Path, change: Callable[[dict[str, bytes]], object] = len, **files: bytes) -> None:
    """Replace the checkpoint's weights by the same in torch's format, after `change` had each tensor's opcodes."""
    items, storages = parts_of(read_safetensors(folder / WEIGHTS))
    change(items)
    write_pickled(folder, archive(state_dict(items), storages, **files))


def write_pickled(folder: Path, raw: bytes) -> None:
    """Make these bytes the checkpoint's only weights."""
    (folder / WEIGHTS).unlink()
    (folder / PICKLED).write_bytes(raw)


# ── shards ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def turn_into_shards(folder: Path, count: int = 3) -> list[Path]:
    """Deal the checkpoint's tensors out to files, with an index."""
    tensors = read_safetensors(folder / WEIGHTS)
    names = [f"model-{place + 1:05}-of-{count:05}.safetensors" for place in range(count)]
    table = {key: names[place % count] for place, key in enumerate(tensors)}
    for shard in names:
        (folder / shard).write_bytes(safetensors({key: one for key, one in tensors.items() if table[key] == shard}))
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return [folder / shard for shard in names]


# ── the test ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(folder: Path, error: type[Exception], said: str) -> None:
    """See that the checkpoint gives this error, in words that fit a terminal, and that others go on."""
    model, vector = good_model()
    with pytest.raises(error) as caught:
        FlagModel(str(folder))
    message = str(caught.value)
    assert type(caught.value) is error
    assert re.search(said, message), message
    assert message.isprintable()
    assert len(message) < 600
    assert np.array_equal(model.encode("a wing"), vector)


@cache
def good_model() -> tuple[FlagModel, np.ndarray[Any, Any]]:
    """An opened model, and what it gave before anything was refused."""
    model = FlagModel(str(checkpoint("tiny-bert")))
    return model, model.encode("a wing")
