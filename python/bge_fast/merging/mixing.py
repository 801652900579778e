"""Models mixed by LM-Cocktail: each tensor is the sum of the models' tensors, each times its model's weight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from pathlib import Path

import numpy as np

from bge_fast.errors import ModelFormatError, quoted, warn
from bge_fast.merging.folders import carry_over, new_folder
from bge_fast.merging.sources import Source, check_alike, counterpart, open_source
from bge_fast.merging.tensors import FLOATS, Numbers, StoredTensor, narrowed, widened
from bge_fast.merging.writing import NewTensor, SafetensorsShards, write_torch
from bge_fast.opening.kinds import HEAD_FILES

MODEL_TYPES = (None, "encoder", "decoder", "reranker")
_OFF_BY = 1e-3
_POOLER = "pooler."


def mix_models(
    model_names_or_paths: Sequence[str],
    model_type: str | None = None,
    weights: Sequence[float] | None = None,
    output_path: str | Path | None = None,
    *,
    cache_dir: str | None = None,
) -> str:
    """Write a checkpoint that is a weighted sum of others, such as of a fine-tuned model and its base.

    Tensors are read, added in float32 and written a block at a time, so that it takes no more memory than that. Types,
    shards, configuration and tokenizer are those of the first model.

    Args:
        model_names_or_paths: checkpoints of one architecture and vocabulary: folders or hub ids.
        model_type: accepted, without effect: ``"encoder"``, ``"decoder"`` or ``"reranker"``.
        weights: one for each model; their sum is 1.
        output_path: the folder to write, which must not exist or be empty.
        cache_dir: the hub's cache folder.

    Returns:
        ``output_path``.

    Raises:
        ValueError: weights that are not one for each model, or whose sum is not 1.
        ModelFormatError: the models differ in architecture, vocabulary or tensors; names what.
        FileExistsError: there is something at ``output_path``.

    Source: ``LM_Cocktail.mix_models`` of LM_Cocktail 0.0.4.
    """
    names = checked_names(model_names_or_paths, model_type, output_path)
    factors = _checked_weights(names, weights)
    sources = [open_source(name, cache_dir) for name in names]
    for other in sources[1:]:
        check_alike(sources[0], other)
    with new_folder(Path(str(output_path))) as folder:
        carry_over(sources[0].root, folder)
        for part in sources[0].parts:
            _mix_part(part, sources, factors, folder)
    return str(output_path)


# LM_Cocktail's way that takes less memory: here there is no other.
mix_models_by_layers = mix_models


def checked_names(names: Sequence[str], model_type: str | None, output_path: str | Path | None) -> list[str]:
    """See that these arguments can be meant.

    Raises:
        ValueError: says which cannot.
    """
    if isinstance(names, str) or not names:
        raise ValueError(f"model_names_or_paths is {quoted(names)}; give a list of folders or hub ids")
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type is {quoted(model_type)}; leave it out, or give one of {MODEL_TYPES[1:]}")
    if not output_path:
        raise ValueError("output_path is missing: the result is a folder, since there is no torch model here")
    return [str(name) for name in names]


def _checked_weights(names: Sequence[str], weights: Sequence[float] | None) -> list[float]:
    factors = [float(weight) for weight in weights or ()]
    if len(factors) != len(names):
        raise ValueError(f"there are {len(names)} models and {len(factors)} weights: give one for each model")
    if not abs(sum(factors) - 1) <= _OFF_BY:
        raise ValueError(f"the weights {quoted(factors)} add up to {sum(factors):g}: they must add up to 1")
    return factors


@dataclass(frozen=True)
class _Mixed(NewTensor):
    stored: tuple[StoredTensor, ...]
    """The models' tensors."""

    def blocks(self, factors: Sequence[float]) -> Iterator[Numbers]:
        """The sums. Whole numbers, such as positions, are the last model's."""
        if self.kind not in FLOATS:
            yield from self.stored[-1].blocks()
            return
        working = np.float64 if self.kind == "F64" else np.float32
        for blocks in zip(*(tensor.blocks() for tensor in self.stored), strict=True):
            terms = zip(blocks, self.stored, factors, strict=True)
            scaled = (np.multiply(widened(block, one.kind), factor, dtype=working) for block, one, factor in terms)
            yield narrowed(reduce(np.add, scaled), self.kind, self.name)


def _mix_part(part: str, sources: Sequence[Source], factors: Sequence[float], folder: Path) -> None:
    others = [(source, source.by_name(part)) for source in sources[1:]]
    files: dict[str, list[_Mixed]] = {}
    for file, tensors in sources[0].tensors(part).items():
        mixed = (_mixed(sources[0], tensor, others) for tensor in tensors)
        files[file] = [one for one in mixed if one is not None]
    if part in HEAD_FILES.values():
        for file, head in files.items():
            write_torch(folder / file, {one: np.concatenate([*one.blocks(factors)]) for one in head})
        return
    with SafetensorsShards(folder, files) as new:
        for one in chain.from_iterable(files.values()):
            new.write(one.name, one.blocks(factors))


def _mixed(
    first: Source, tensor: StoredTensor, others: Sequence[tuple[Source, dict[str, StoredTensor]]]
) -> _Mixed | None:
    stored = [tensor]
    for source, tensors in others:
        other = counterpart(tensor.name, tensors)
        if other is None and tensor.kind not in FLOATS:
            continue
        if other is None and _POOLER in tensor.name and first.files.kind != "reranker":
            warn(f"{tensor.name} is left out: {source.name} does not have it, and no embedder uses it")
            return None
        if other is None:
            raise ModelFormatError(f"{source.name} does not have the tensor {tensor.name:.100}, which {first.name} has")
        if other.shape != tensor.shape or (other.kind in FLOATS) is not (tensor.kind in FLOATS):
            raise ModelFormatError(
                f"the tensor {tensor.name:.100} is {tensor.kind} {tensor.shape} in {first.name} and {other.kind} "
                f"{other.shape} in {source.name}: they cannot be added"
            )
        stored.append(other)
    return _Mixed(tensor.name, tensor.kind, tensor.shape, tuple(stored))
