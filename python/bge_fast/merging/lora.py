"""A LoRA adapter and its base made one checkpoint: ``W + scale · B · A``, added in float32 and rounded once."""

from itertools import chain
from pathlib import Path

from bge_fast.errors import ModelNotFoundError, quoted
from bge_fast.merging.folders import TOKENIZER_FILES, carry_over, copy_files, new_folder
from bge_fast.merging.sources import MAIN, Source, check_vocabularies, open_source
from bge_fast.merging.tensors import StoredTensor, narrowed
from bge_fast.merging.writing import NewTensor, SafetensorsShards
from bge_fast.opening.adapter import FILE, Adapter, Tensors, changed_tensors, read_adapter, whole_tensors


def merge_lora(
    adapter: str | Path, output_path: str | Path, *, base: str | None = None, cache_dir: str | None = None
) -> str:
    """Write a checkpoint in which an adapter of peft is merged into its base, in the base's types and shards.

    Args:
        adapter: its folder.
        output_path: the folder to write, which must not exist or be empty.
        base: the model that it changes; by default the one that the adapter names.
        cache_dir: the hub's cache folder.

    Returns:
        ``output_path``.

    Raises:
        ModelNotFoundError: no adapter there, or no base.
        UnsupportedModelError: another adapter than plain LoRA; names it.
        ModelFormatError: the adapter does not fit the base; names the tensor.
        FileExistsError: there is something at ``output_path``.
    """
    folder = Path(adapter).expanduser()
    if not (folder / FILE).is_file():
        raise ModelNotFoundError(f"{quoted(str(adapter), 200)} is no folder with {FILE}")
    read = read_adapter(str(adapter), folder, base)
    source = open_source(_base_of(read), cache_dir)
    check_vocabularies(source.name, source.files.folder, read.name, folder)
    with new_folder(Path(output_path)) as made:
        carry_over(source.root, made)
        if read.tokenizer:
            # What the adapter was trained with: trainers change what stands behind a text.
            copy_files({name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}, made)
        for files in (files for part, files in source.parts.items() if part != MAIN):
            copy_files(files, made)
        _write(read, source, made)
    return str(output_path)


def _base_of(adapter: Adapter) -> str:
    beside = adapter.folder / adapter.base
    return str(beside) if not Path(adapter.base).expanduser().is_dir() and beside.is_dir() else adapter.base


def _write(adapter: Adapter, source: Source, folder: Path) -> None:
    """Copy all tensors, and write those that the adapter changes over their copies."""
    weights = [str(path) for path in source.files.paths.values()]
    files, whole = source.tensors(MAIN), whole_tensors(adapter, weights)
    stored = {tensor.name: tensor for tensors in files.values() for tensor in tensors}
    shards = {file: [_new(tensor, whole) for tensor in tensors] for file, tensors in files.items()}
    # Layers that the base does not have, such as a classifier.
    added = [NewTensor(name, "F32", numbers.shape) for name, numbers in whole.items() if name not in stored]
    kinds = {name: tensor.kind for name, tensor in stored.items()} | {tensor.name: tensor.kind for tensor in added}
    next(reversed(shards.values())).extend(added)
    with SafetensorsShards(folder, shards) as new:
        for name in stored.keys() - whole.keys():
            new.write(name, stored[name].blocks())
        for name, numbers in chain(whole.items(), changed_tensors(adapter, weights)):
            new.write(name, [narrowed(numbers, kinds[name], name)])


def _new(tensor: StoredTensor, whole: Tensors) -> NewTensor:
    shape = whole[tensor.name].shape if tensor.name in whole else tensor.shape
    return NewTensor(tensor.name, tensor.kind, shape)
