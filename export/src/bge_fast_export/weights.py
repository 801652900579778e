"""The checkpoint's weights: which files hold them, and the torch model made of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# In order of preference: safetensors holds numbers only, a pickle is read with torch's weights-only reader.
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

LFS_POINTER = b"version https://git-lfs"


def weight_file(folder: Path) -> str:
    """Return the name of the weight file or of its index, after checking that all shards are there."""
    for name in (*SAFETENSORS, *PICKLES):
        if (folder / name).is_file():
            shards = _shards(folder / name) if name.endswith(".index.json") else [name]
            for shard in shards:
                _check_shard(folder, shard)
            return name
    raise CheckpointError(f"{folder.name} has no weights: neither model.safetensors nor pytorch_model.bin is there.")


def load_model(folder: Path, encoder: Encoder) -> "PreTrainedModel":
    """Load the encoder in fp32, without a pooler, whatever precision the checkpoint is stored in."""
    import torch
    import transformers

    name = weight_file(folder)
    try:
        model, report = getattr(transformers, encoder.architecture.model_class).from_pretrained(
            folder,
            config=_config(encoder),
            dtype=torch.float32,
            attn_implementation="sdpa",
            add_pooling_layer=False,
            use_safetensors=name in SAFETENSORS,
            weights_only=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError(f"{name} cannot be read: {_first_line(error)}") from error
    _check_complete(name, report)
    loaded: PreTrainedModel = model.eval()
    return loaded


def _config(encoder: Encoder) -> object:
    """Build the configuration from checked numbers only: nothing else in config.json reaches transformers."""
    import transformers

    return getattr(transformers, encoder.architecture.config_class)(
        vocab_size=encoder.vocab_size,
        hidden_size=encoder.hidden_size,
        intermediate_size=encoder.intermediate_size,
        num_hidden_layers=encoder.layers,
        num_attention_heads=encoder.heads,
        max_position_embeddings=encoder.positions,
        type_vocab_size=encoder.token_types,
        pad_token_id=encoder.pad_token_id,
        layer_norm_eps=encoder.layer_norm_eps,
        hidden_act="gelu",
        use_cache=False,
    )


def _shards(index: Path) -> list[str]:
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index.name} is not an index of weight files.") from error
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise CheckpointError(f"{index.name} names a weight file outside its folder.")
    return names


def _check_shard(folder: Path, name: str) -> None:
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"{name}, which the index names, is missing from {folder.name}.")
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        raise CheckpointError(f"{name} is a Git LFS pointer, not weights; run `git lfs pull` in {folder.name}.")
    if not start:
        raise CheckpointError(f"{name} is empty.")


def _check_complete(name: str, report: Mapping[str, list[str]]) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise CheckpointError(f"{name} lacks weights of the encoder: {missing[0]}{more}.")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:200]}" if lines else type(error).__name__
