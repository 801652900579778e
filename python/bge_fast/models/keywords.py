"""Keywords that are taken beside the named ones. At run time they are plain ``**kwargs``, as FlagEmbedding has them."""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from bge_fast.errors import quoted
from bge_fast.models.shapes import Array, Devices


class TokenizerKeywords(TypedDict, total=False):
    """What FlagEmbedding hands to its tokenizer: accepted by every call, and never changes a number."""

    pad_to_multiple_of: int | None
    padding_side: str | None
    return_attention_mask: bool | None
    verbose: bool


class Calling(TokenizerKeywords, total=False):
    """Of calls that go through `encode` or `compute_score`."""

    show_progress_bar: bool | None


class Encoding(Calling, total=False):
    """Of ``encode`` itself."""

    instruction: str | None
    instruction_format: str | None


class Streaming(TokenizerKeywords, total=False):
    """Of ``encode_iter``."""

    instruction: str | None
    instruction_format: str | None


class M3TokenizerKeywords(TokenizerKeywords, total=False):
    """Of BGE-M3's calls those that have no effect."""

    convert_to_numpy: bool


class M3Calling(Calling, M3TokenizerKeywords, total=False):
    """Of BGE-M3's calls that go through ``encode``."""

    out: Array | None


class M3Encoding(Encoding, M3TokenizerKeywords, total=False):
    """Of BGE-M3's ``encode`` itself."""

    out: Array | None


class M3Streaming(Streaming, M3TokenizerKeywords, total=False):
    """Of BGE-M3's ``encode_iter``."""

    batch_size: int | None
    max_length: int | None
    return_dense: bool | None
    return_sparse: bool | None
    return_colbert_vecs: bool | None


class VectorsStreaming(TypedDict, total=False):
    """Of ``encode_vectors_iter``."""

    batch_size: int | None
    max_length: int | None
    dense: bool
    sparse: bool
    colbert: bool
    query: bool


class VectorsKeywords(VectorsStreaming, total=False):
    """Of ``encode_vectors``."""

    show_progress_bar: bool | None
    out: Array | None


class Scoring(Calling, total=False):
    """Of ``rank``: those of ``compute_score``."""

    batch_size: int | None
    query_max_length: int | None
    max_length: int | None
    normalize: bool | None


class PromptedScoring(Scoring, total=False):
    """Of decoder-only rerankers. What a class does not have is without effect in it, as in FlagEmbedding."""

    prompt: str | None
    cutoff_layers: int | Iterable[int] | None
    compress_layer: int | Iterable[int] | None
    compress_layers: int | Iterable[int] | None
    compress_ratio: int | None
    use_dataloader: bool
    num_workers: int | None


class ModelKeywords(TypedDict, total=False):
    """Of every constructor."""

    device: str | int
    """Another name of ``devices``."""
    warmup: bool
    """On CUDA: prepare for queries of every length when the model opens, not when the first one comes."""
    timeout: float | None
    """Seconds that a call may take; then it raises ``CallTimeoutError``. A run is not interrupted."""
    max_queue: int | None
    """Most calls that wait for a run; one more raises ``QueueFullError``. ``None``: any number."""
    deterministic: bool
    """Calls never share a batch, so that a result depends on its own call alone, to the last bit."""


class EmbedderKeywords(ModelKeywords, total=False):
    """Of the embedders' constructors."""

    passage_instruction_for_retrieval: str | None
    passage_instruction_format: str


class DecoderKeywords(EmbedderKeywords, total=False):
    """Of the decoder-only embedders' constructors."""

    pooling_method: str
    """``"last_token"``."""


class M3Keywords(EmbedderKeywords, total=False):
    """Of `BGEM3FlagModel`."""

    convert_to_numpy: bool
    """Accepted, without effect."""


class EmbedderArguments(M3Keywords, total=False):
    """Of `FlagAutoModel.from_finetuned`: arguments of the class that it opens."""

    cache_dir: str | None
    batch_size: int
    query_max_length: int
    passage_max_length: int
    suffix: str
    examples_for_task: list[dict[str, str]] | None
    examples_instruction_format: str
    colbert_dim: int
    return_dense: bool
    return_sparse: bool
    return_colbert_vecs: bool
    precision: str | None
    threads: int | None
    low_memory: bool
    dense: bool
    onnx_file: str | None
    on_truncate: str
    on_fork: str


class RerankerArguments(ModelKeywords, total=False):
    """Of `FlagAutoReranker.from_finetuned`: arguments of the class that it opens."""

    query_instruction_for_rerank: str | None
    query_instruction_format: str
    passage_instruction_for_rerank: str | None
    passage_instruction_format: str
    cache_dir: str | None
    devices: Devices
    batch_size: int
    query_max_length: int | None
    max_length: int
    normalize: bool
    peft_path: str | None
    use_bf16: bool
    prompt: str | None
    cutoff_layers: int | Iterable[int] | None
    compress_layers: int | Iterable[int] | None
    compress_ratio: int | None
    precision: str | None
    threads: int | None
    low_memory: bool
    onnx_file: str | None


def refuse_unknown_keywords(method: str, keywords: Mapping[str, object], known: type = TokenizerKeywords) -> None:
    """Raise ``TypeError`` for a keyword that has no meaning, as any Python function does."""
    if unknown := keywords.keys() - known.__annotations__.keys():
        raise TypeError(f"{method}() got an unexpected keyword argument {quoted(sorted(unknown)[0])}")
