"""Random encoders of odd shapes, and the forms in which checkpoints are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

SHARD = "40KB"


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder."""

    model_type: str
    layers: int
    heads: int
    head_size: int
    inner: int
    vocab: int
    positions: int
    types: int
    eps: float
    pad: int
    spread: float = 0.15
    """Standard deviation of the weights; what transformers starts with is 0.02."""

    @property
    def name(self) -> str:
        return f"{self.model_type}-{self.layers}-{self.heads}x{self.head_size}"

    def config(self) -> transformers.PretrainedConfig:
        kind = {"bert": transformers.BertConfig, "xlm-roberta": transformers.XLMRobertaConfig}[self.model_type]
        return kind(
            vocab_size=self.vocab,
            hidden_size=self.heads * self.head_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.inner,
            max_position_embeddings=self.positions,
            type_vocab_size=self.types,
            layer_norm_eps=self.eps,
            pad_token_id=self.pad,
        )


SHAPES = (
    Shape("bert", 1, 1, 8, 17, 60, 16, 1, 1e-12, 0),
    Shape("bert", 2, 3, 5, 17, 97, 31, 3, 1e-12, 0),
    Shape("bert", 3, 2, 33, 129, 701, 40, 2, 1e-5, 0),
    Shape("bert", 4, 16, 3, 50, 999, 64, 2, 1e-12, 7),
    Shape("bert", 2, 16, 64, 31, 80, 5, 1, 1e-12, 0, spread=0.05),
    Shape("bert", 6, 12, 32, 768, 2000, 128, 2, 1e-12, 0, spread=0.05),
    Shape("bert", 24, 4, 16, 96, 500, 300, 2, 1e-12, 0, spread=0.1),
    Shape("xlm-roberta", 1, 16, 64, 4096, 5000, 130, 1, 1e-5, 1, spread=0.05),
    Shape("xlm-roberta", 2, 4, 20, 33, 1003, 67, 1, 1e-5, 1),
    Shape("xlm-roberta", 2, 1, 100, 1, 60, 10, 2, 1e-12, 3),
    Shape("xlm-roberta", 5, 7, 9, 257, 300, 1101, 3, 1e-5, 0),
    Shape("xlm-roberta", 24, 8, 24, 400, 1000, 99, 1, 1e-5, 1, spread=0.05),
)


def write_encoder(shape: Shape, folder: Path) -> None:
    """Save it with random numbers in every tensor, also where transformers starts with zeros and ones."""
    torch.manual_seed(SHAPES.index(shape))
    model = transformers.AutoModel.from_config(shape.config(), add_pooling_layer=False)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("LayerNorm.weight"):
                tensor.uniform_(0.5, 1.5)
            else:
                tensor.normal_(std=shape.spread)
    model.save_pretrained(folder)


Form = Callable[[Path], None]


def fp16(folder: Path) -> None:
    store(folder, encoder(folder).half())


def bf16(folder: Path) -> None:
    store(folder, encoder(folder).bfloat16())


def mixed(folder: Path) -> None:
    model = encoder(folder)
    model.embeddings.half()
    model.encoder.layer[1].bfloat16()
    store(folder, model)


def sharded(folder: Path) -> None:
    store(folder, encoder(folder), max_shard_size=SHARD)
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def sharded_links(folder: Path) -> None:
    """Each shard a link to a folder of its own, as a cache may have it."""
    sharded(folder)
    for place, shard in enumerate(sorted(folder.glob("model-*.safetensors"))):
        blob = folder.parent / f"{folder.name} blobs" / str(place) / "blob"
        blob.parent.mkdir(parents=True)
        shard.rename(blob)
        shard.symlink_to(blob)


def pickled(folder: Path) -> None:
    """With the buffer that older transformers stored too."""
    tensors = encoder(folder).state_dict()
    tensors["embeddings.position_ids"] = torch.arange(len(tensors["embeddings.position_embeddings.weight"]))[None]
    torch.save(tensors, without_weights(folder) / "pytorch_model.bin")


def pickled_fp16(folder: Path) -> None:
    torch.save(encoder(folder).half().state_dict(), without_weights(folder) / "pytorch_model.bin")


def pickled_bf16(folder: Path) -> None:
    torch.save(encoder(folder).bfloat16().state_dict(), without_weights(folder) / "pytorch_model.bin")


def pickled_views(folder: Path) -> None:
    """All tensors lie in one storage."""
    tensors = encoder(folder).state_dict()
    flat = torch.cat([tensor.flatten() for tensor in tensors.values()])
    parts = flat.split([tensor.numel() for tensor in tensors.values()])
    views = {name: part.view(tensor.shape) for (name, tensor), part in zip(tensors.items(), parts, strict=True)}
    torch.save(views, without_weights(folder) / "pytorch_model.bin")


def pickled_fp64(folder: Path) -> None:
    torch.save(encoder(folder).double().state_dict(), without_weights(folder) / "pytorch_model.bin")


def pickled_before_1_6(folder: Path) -> None:
    tensors = encoder(folder).state_dict()
    torch.save(tensors, without_weights(folder) / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def pickled_shards(folder: Path) -> None:
    store(folder, encoder(folder), max_shard_size=SHARD, safe_serialization=False)
    assert len(list(folder.glob("pytorch_model-*.bin"))) > 1


def with_pooler(folder: Path) -> None:
    store(folder, transformers.AutoModel.from_pretrained(folder))


def with_head(folder: Path) -> None:
    store(folder, transformers.AutoModelForMaskedLM.from_pretrained(folder))


def pickled_with_head(folder: Path) -> None:
    """The head's matrix is the word table, stored once under both names."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    torch.save(model.state_dict(), without_weights(folder) / "pytorch_model.bin")


FORMS: tuple[Form, ...] = (
    fp16,
    bf16,
    mixed,
    sharded,
    sharded_links,
    pickled,
    pickled_fp16,
    pickled_bf16,
    pickled_views,
    pickled_fp64,
    pickled_before_1_6,
    pickled_shards,
    with_pooler,
    with_head,
    pickled_with_head,
)


def encoder(folder: Path) -> transformers.PreTrainedModel:
    return transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)


def store(folder: Path, model: transformers.PreTrainedModel, **options: object) -> None:
    model.save_pretrained(without_weights(folder), **options)


def without_weights(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    return folder
