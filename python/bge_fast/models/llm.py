"""Decoder-only embedders: ``FlagLLMModel``."""

from typing import Unpack

from bge_fast.models.decoder import Decoder
from bge_fast.models.dense_embedder import DenseEmbedder
from bge_fast.models.keywords import DecoderKeywords
from bge_fast.models.shapes import Devices


class DecoderEmbedder(Decoder, DenseEmbedder):
    """Base of the decoder-only embedders: a text's vector is the hidden state of its last token."""

    DEFAULT_POOLING_METHOD = "last_token"
    _pooling_methods = ("last_token",)
    _known_keywords = DecoderKeywords
    pooling_method = "last_token"

    def _check_options(self) -> None:
        if self.kwargs.get("pooling_method", "last_token") != "last_token":
            raise ValueError("Pooling method must be 'last_token' for LLM-based models.")
        super()._check_options()


class FlagLLMModel(DecoderEmbedder):
    """Dense vectors of a decoder-only embedder, with FlagEmbedding's names, defaults and numbers.

    Args:
        model_name_or_path: a checkpoint's folder, or a hub id.
        normalize_embeddings: scale vectors to unit length.
        use_fp16: on CUDA, compute in fp16. The CPU uses weights as they are stored, in float32.
        use_bf16: on CUDA, compute in bf16, whatever ``use_fp16`` says.
        query_instruction_for_retrieval: put before each text of ``encode_queries``.
        query_instruction_format: how; first placeholder the instruction, second the text.
        devices: ``None``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``, ``0``; ``None`` takes the first CUDA device where
            ``onnxruntime-gpu`` is installed and usable, else the CPU.
        trust_remote_code: accepted, without effect: Python from a repository is never run.
        cache_dir: the hub's cache folder.
        batch_size: most texts of one ONNX Runtime call; batches are also bounded by their tokens.
        query_max_length: most tokens of a query, special tokens included.
        passage_max_length: the same for passages.
        convert_to_numpy: return numpy arrays; ``False`` returns torch tensors and needs torch.
        truncate_dim: keep this many leading components, before normalization.
        precision: of the products: ``"fp32"`` or ``"bf16"``, on the CPU ``"int8"`` or ``"int4"``, on CUDA ``"fp16"``;
            by default fp32, on CUDA what ``use_fp16`` and ``use_bf16`` say.
        threads: CPU threads; by default all that affinity and cgroup allow.
        on_fork: what a forked child does with a model that its parent opened: ``"reopen"`` or ``"error"``.
        on_truncate: what happens to texts over the length limit: ``"ignore"``, ``"warn"`` or ``"error"``.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.
        ValueError: a ``pooling_method`` other than last_token.

    Source: ``FlagEmbedding.FlagLLMModel`` of FlagEmbedding 1.4.2.
    """

    def __init__(
        self,
        model_name_or_path: str,
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        use_bf16: bool = False,
        query_instruction_for_retrieval: str | None = None,
        query_instruction_format: str = "Instruct: {}\nQuery: {}",
        devices: Devices = None,
        trust_remote_code: bool = False,
        cache_dir: str | None = None,
        batch_size: int = 256,
        query_max_length: int = 512,
        passage_max_length: int = 512,
        convert_to_numpy: bool = True,
        truncate_dim: int | None = None,
        *,
        precision: str | None = None,
        threads: int | None = None,
        on_fork: str = "reopen",
        on_truncate: str = "ignore",
        **kwargs: Unpack[DecoderKeywords],
    ) -> None:
        self._start(locals())
