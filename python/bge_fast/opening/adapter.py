"""LoRA adapters of peft: merged into the weights of their base when a model opens, ``W + scale · B · A``."""

import contextlib
import fcntl
import json
import math
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bge_fast import _core
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError, quoted
from bge_fast.opening.jsonfiles import read_json

FILE = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_TEMPORARY, _MERGED = "bge-fast-lora-", "merged.safetensors"
_PREFIX = "base_model.model."
# What the names of tensors begin with where a network was saved with a head.
ENCODERS = ("bert", "roberta", "electra", "distilbert", "mpnet", "model")
# Settings that make another product than the plain one, with the value that leaves it plain.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "use_dora": (None, False),
    "fan_in_fan_out": (None, False),
    "lora_bias": (None, False),
    "alpha_pattern": (None, {}),
    "megatron_config": (None,),
    "layer_replication": (None,),
    "use_qalora": (None, False),
    "alora_invocation_tokens": (None,),
    "trainable_token_indices": (None,),
    "arrow_config": (None,),
}
Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder, read and checked."""

    name: str
    folder: Path
    base: str
    """Folder or hub id of the model that it was trained on."""
    alpha: float
    by_root: bool
    """Scaled by the root of the rank (rank-stabilized)."""

    @property
    def file(self) -> Path:
        """Its weights.

        Raises:
            ModelNotFoundError: there are none.
        """
        file = next((self.folder / one for one in _WEIGHTS if (self.folder / one).is_file()), None)
        if file is None:
            raise ModelNotFoundError(f"{self.name} has no weights ({' or '.join(_WEIGHTS)})")
        return file

    @property
    def tokenizer(self) -> Path | None:
        """Its folder, where there is a tokenizer: trainers may change what stands before and behind a text."""
        return self.folder if (self.folder / "tokenizer.json").is_file() else None

    def scale(self, rank: int) -> float:
        """What the product of both factors is multiplied by."""
        return self.alpha / (math.sqrt(rank) if self.by_root else rank)

    def how_to_merge(self) -> str:
        """A command that makes a checkpoint of it."""
        return (
            'python -c "from transformers import AutoModel; from peft import PeftModel; '
            f"PeftModel.from_pretrained(AutoModel.from_pretrained({self.base[:120]!r}), {str(self.folder)!r})"
            ".merge_and_unload().save_pretrained('merged')\""
        )


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter without the model that it changes."""
    return (folder / FILE).is_file() and not (folder / "config.json").is_file()


def read_adapter(name: str, folder: Path, base: str | None = None) -> Adapter:
    """Read ``adapter_config.json``; ``base`` is what the adapter changes, whatever is said there.

    Raises:
        UnsupportedModelError: no LoRA, or a kind of it that is not merged here; names it.
        ModelFormatError: a value that it cannot have; names the key.
    """
    config = read_json(folder / FILE)
    if str(config.get("peft_type")).upper() != "LORA":
        raise UnsupportedModelError(
            f"{name} is an adapter of the type {quoted(config.get('peft_type'))} ({FILE}); LoRA alone is merged here. "
            "Merge it into its model with peft first"
        )
    for key, plain in _PLAIN.items():
        if config.get(key) not in plain:
            what = "DoRA" if key == "use_dora" else key
            raise UnsupportedModelError(
                f"{name} is a LoRA adapter with {what} ({FILE}), which is not merged here. Merge it with peft first"
            )
    base, alpha = base or config.get("base_model_name_or_path"), config.get("lora_alpha", 8)
    if not isinstance(base, str) or not base:
        raise ModelFormatError(f"{name}: base_model_name_or_path of {FILE} is {quoted(base)}, not the name of a model")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) < 1 << 31:
        raise ModelFormatError(f"{name}: lora_alpha of {FILE} is {quoted(alpha)}, not a number")
    return Adapter(name, folder, base, float(alpha), config.get("use_rslora") is True)


def adapter_for(path: str, base: str) -> Adapter:
    """The adapter of a folder for a base that it need not name.

    Raises:
        ModelNotFoundError: there is none.
        ModelFormatError, UnsupportedModelError: as `read_adapter`.
    """
    folder = Path(path).expanduser()
    if not (folder / FILE).is_file():
        raise ModelNotFoundError(f"peft_path {quoted(path, 200)} is no folder with {FILE}")
    return read_adapter(path, folder, base)


class Merged:
    """The changed tensors of a base, in a temporary file for as long as this object lives."""

    def __init__(self, adapter: Adapter, weights: Sequence[Path]) -> None:
        import tempfile

        tensors = dict(_merged(adapter, [str(path) for path in weights]))
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
        self.path = folder / _MERGED
        file = self.path.open("wb")
        weakref.finalize(self, _remove, folder, file, os.getpid())
        fcntl.flock(file, fcntl.LOCK_SH)
        _write(file, tensors)


def _sweep() -> None:
    """Remove what processes left that were killed: files that nobody has locked."""
    import shutil
    import tempfile

    for left in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*/{_MERGED}"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)


def _remove(folder: Path, file: BinaryIO, process: int) -> None:
    import shutil

    with contextlib.suppress(OSError):
        file.close()
    # A forked child must not take its parent's file away.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _merged(adapter: Adapter, weights: list[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield from changed_tensors(adapter, weights)
    yield from whole_tensors(adapter, weights).items()


def changed_tensors(adapter: Adapter, weights: list[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Tensors of the base that the adapter changes, by their names there, with what becomes of them.

    Raises:
        ModelFormatError: the base does not have one, or of another shape; names it.
    """
    for name, delta in _changes(adapter, _stored(adapter)):
        target, there = _of_base(weights, name)
        if there is None:
            raise ModelFormatError(f"{adapter.name} changes {name:.100}, which {adapter.base:.100} does not have")
        if there.shape != delta.shape:
            shapes = f"{delta.shape}, which is {there.shape} in {adapter.base:.100}"
            raise ModelFormatError(f"{adapter.name} changes {name:.100} of shape {shapes}")
        yield target, there + delta


def whole_tensors(adapter: Adapter, weights: list[str]) -> Tensors:
    """Tensors of layers that were trained as a whole, such as a classifier, which the base need not have."""
    stored = _stored(adapter)
    return {_of_base(weights, name)[0]: tensor for name, tensor in stored.items() if "lora_" not in name}


def _of_base(weights: list[str], name: str) -> tuple[str, NDArray[np.float32] | None]:
    """The tensor of that name, which may stand with or without the encoder's; its own name if there is none."""
    first, _, rest = name.partition(".")
    names = [name, *([rest] if first in ENCODERS else [f"{one}.{name}" for one in ENCODERS])]
    there = _core.read_tensors(weights, names)
    target = next((one for one in names if one in there), name)
    return target, there.get(target)


def _stored(adapter: Adapter) -> Tensors:
    file = adapter.file
    tensors = _core.read_tensors([str(file.resolve())])
    if strange := next((name for name in tensors if not name.startswith(_PREFIX)), None):
        raise ModelFormatError(f"{adapter.name}: {file.name} has the tensor {strange:.100}, not one of an adapter")
    return {name.removeprefix(_PREFIX).replace(".modules_to_save.", "."): one for name, one in tensors.items()}


def _changes(adapter: Adapter, stored: Tensors) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each changed tensor's name, and what is added to it."""
    for name, first in stored.items():
        if "lora_" not in name:
            continue
        for end, other in ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B")):
            if name.endswith((end, other)):
                break
        else:
            raise UnsupportedModelError(f"{adapter.name}: the tensor {name:.100} is not of plain LoRA")
        if name.endswith(other):
            continue
        module = name.removesuffix(end)
        second = stored.get(module + other)
        if second is None or first.ndim != second.ndim or first.ndim != 2 or len(first) != second.shape[1]:  # noqa: PLR2004
            raise ModelFormatError(f"{adapter.name}: the factors of {module:.100} do not fit")
        product = np.float32(adapter.scale(len(first))) * (second @ first)
        yield f"{module}.weight", product if end == ".lora_A.weight" else product.T


def _write(file: BinaryIO, tensors: Tensors) -> None:
    """Write tensors as safetensors do."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    file.write(len(written).to_bytes(8, "little") + written)
    for tensor in tensors.values():
        file.write(np.ascontiguousarray(tensor, dtype="<f4").data)
    file.flush()
