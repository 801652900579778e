"""What decoder-only models share, embedders and rerankers."""

from bge_fast.models.model import Model


class Decoder(Model):
    """Base of the classes of decoder-only models."""

    _family = "decoder"
    use_bf16: bool
