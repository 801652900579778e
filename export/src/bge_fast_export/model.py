"""The torch model that the checkpoint's weights make."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import CheckpointError, reason
from bge_fast_export.kinds import M3, Kind
from bge_fast_export.weights import SAFETENSORS, weight_file

if TYPE_CHECKING:
    import torch


def load_model(folder: Path, encoder: Encoder, kind: Kind) -> "torch.nn.Module":
    """Load what the kind runs in fp32, whatever precision the checkpoint is stored in.

    Called with a batch, the model gives the kind's outputs by name. Embedders and M3 have no pooler.
    """
    import torch
    import transformers

    name = weight_file(folder)
    class_name = encoder.architecture.class_prefix + kind.class_suffix
    has_pooler = kind.class_suffix == "Model" and encoder.architecture.pooler
    without_pooler = {"add_pooling_layer": False} if has_pooler else {}
    try:
        model, report = getattr(transformers, class_name).from_pretrained(
            folder,
            config=_config(encoder),
            dtype=torch.float32,
            attn_implementation=encoder.architecture.attention,
            use_safetensors=name in SAFETENSORS,
            weights_only=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **without_pooler,
        )
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError(f"{name} cannot be read: {reason(error)}") from error
    _check_complete(name, report)
    if kind.name == M3.name:
        from bge_fast_export.m3 import M3Model, read_heads

        model = M3Model(model, read_heads(folder, kind.outputs, encoder.hidden_size))
    loaded: torch.nn.Module = model.eval()
    return loaded


def _config(encoder: Encoder) -> object:
    """Build the configuration from checked numbers only: nothing else in config.json reaches transformers."""
    import transformers

    sizes = {
        "vocab_size": encoder.vocab_size,
        "embedding_size": encoder.embedding_size,
        "hidden_size": encoder.hidden_size,
        "intermediate_size": encoder.intermediate_size,
        "num_hidden_layers": encoder.layers,
        "num_attention_heads": encoder.heads,
        "max_position_embeddings": encoder.positions,
        "type_vocab_size": encoder.token_types,
        "pad_token_id": encoder.pad_token_id,
        "layer_norm_eps": encoder.layer_norm_eps,
        "hidden_act": "gelu",
        "use_cache": False,
        "num_labels": 1,  # rerankers alone read it, and they have one
    }
    architecture = encoder.architecture
    named = {architecture.key(name): value for name, value in sizes.items()}
    return getattr(transformers, f"{architecture.class_prefix}Config")(**named)


def _check_complete(name: str, report: Mapping[str, list[str]]) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        part = "classification head" if missing[0].startswith(("classifier.", "pre_classifier.")) else "encoder"
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise CheckpointError(f"{name} lacks weights of the {part}: {missing[0]}{more}.")
