"""The dense embedders: FlagEmbedding's ``FlagModel``."""

from typing import Any

import numpy as np

from bge_fast.devices import parse_devices
from bge_fast.engine import EngineOptions
from bge_fast.errors import warn
from bge_fast.inputs import instruction_template, one_of, to_texts, whole_number, with_instruction
from bge_fast.model import Model
from bge_fast.progress import progress_bar

_POOLING_METHODS = ("cls", "mean")
_DEFAULT_LENGTH = 512
# FlagEmbedding hands these to its tokenizer; they never change a vector.
_CALL_KEYWORDS_WITHOUT_EFFECT = {"pad_to_multiple_of", "padding_side", "return_attention_mask", "verbose"}


class AbsEmbedder(Model):
    """Base of the embedders, for ``isinstance`` checks. Open a model with a subclass."""

    DEFAULT_POOLING_METHOD = "cls"
    _known_keywords = frozenset({"device", "passage_instruction_for_retrieval", "passage_instruction_format"})

    @staticmethod
    def get_detailed_instruct(instruction_format: str, instruction: str, sentence: str) -> str:
        """Return the sentence with the instruction before it, by the format."""
        return with_instruction([sentence], instruction, instruction_format)[0]


class FlagModel(AbsEmbedder):
    """Dense vectors of a BERT or XLM-R embedder, with FlagEmbedding's names, defaults and numbers.

    Args:
        model_name_or_path: a checkpoint's folder, a model folder, a folder with ``onnx/model.onnx``, or a hub id.
        normalize_embeddings: scale vectors to unit length.
        use_fp16: on CUDA, run the fp16 graph where there is one. The CPU always computes in fp32.
        use_bf16: on CUDA, run the fp32 graph: bf16 is asked for its range.
        query_instruction_for_retrieval: put before each text of ``encode_queries``.
        query_instruction_format: how; first placeholder the instruction, second the text.
        devices: ``None``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``, ``0``; ``None`` takes the first CUDA device where
            ``onnxruntime-gpu`` is installed and usable, else the CPU.
        pooling_method: ``"cls"`` or ``"mean"``.
        trust_remote_code: accepted, without effect: Python from a repository is never run.
        cache_dir: the hub's cache folder.
        batch_size: most texts of one ONNX Runtime call; batches are also bounded by their tokens.
        query_max_length: most tokens of a query, special tokens included.
        passage_max_length: the same for passages.
        convert_to_numpy: return numpy arrays; ``False`` returns torch tensors and needs torch.
        truncate_dim: keep this many leading components, before normalization.
        precision: ``"fp32"`` or ``"fp16"``; wins over ``use_fp16``.
        threads: CPU threads; by default all that affinity and cgroup allow.
        low_memory: leave weights in the mapped file instead of repacking them for speed: opens faster, needs a third
            of the private memory, several processes share the rest; queries take 1.5 times as long.
        on_truncate: what happens to texts over the length limit: ``"ignore"`` cuts them, ``"warn"`` also warns once
            a call, ``"error"`` refuses them.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.
        NotImplementedError: a ``pooling_method`` other than cls and mean.

    Source: ``FlagEmbedding.FlagModel`` of FlagEmbedding 1.4.2.
    """

    def __init__(
        self,
        model_name_or_path: str,
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        use_bf16: bool = False,
        query_instruction_for_retrieval: str | None = None,
        query_instruction_format: str = "{}{}",
        devices: str | int | list[str] | list[int] | None = None,
        pooling_method: str = "cls",
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
        low_memory: bool = False,
        on_truncate: str = "ignore",
        **kwargs: Any,
    ) -> None:
        self.model_name_or_path = str(model_name_or_path)
        self.normalize_embeddings = normalize_embeddings
        self.use_fp16 = use_fp16
        self.use_bf16 = use_bf16
        self.query_instruction_for_retrieval = query_instruction_for_retrieval
        self.query_instruction_format = query_instruction_format
        self.pooling_method = pooling_method
        self.trust_remote_code = trust_remote_code
        self.batch_size = batch_size
        self.query_max_length: int | None = query_max_length
        self.passage_max_length: int | None = passage_max_length
        self.convert_to_numpy = convert_to_numpy
        self.truncate_dim = truncate_dim
        self.on_truncate = on_truncate
        self._warned_length = False
        self._set_keywords(kwargs)
        self._check_options()
        self._set_up(
            EngineOptions(
                name=self.model_name_or_path,
                device=parse_devices(devices, kwargs.get("device")),
                precision=precision,
                prefer_fp16=bool(use_fp16) and not use_bf16,
                threads=threads,
                low_memory=bool(low_memory),
                cache_dir=None if cache_dir is None else str(cache_dir),
                pooling=pooling_method,
            )
        )
        self._warn_about_pooling()
        for name in ("query_max_length", "passage_max_length"):
            self._usable_length(name, getattr(self, name))

    def encode_queries(
        self,
        queries: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        convert_to_numpy: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode queries with the query instruction, if the model has one. Shapes, errors and keywords as `encode`."""
        length = self.query_max_length if max_length is None else max_length
        return self.encode(
            queries,
            batch_size,
            length,
            convert_to_numpy,
            instruction=self.query_instruction_for_retrieval,
            instruction_format=self.query_instruction_format,
            **kwargs,
        )

    def encode_corpus(
        self,
        corpus: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        convert_to_numpy: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode passages, with ``passage_instruction_for_retrieval`` if the constructor got it; else as `encode`."""
        return self.encode(
            corpus,
            batch_size,
            max_length,
            convert_to_numpy,
            instruction=self.kwargs.get("passage_instruction_for_retrieval"),
            instruction_format=self.kwargs.get("passage_instruction_format", "{}{}"),
            **kwargs,
        )

    def encode(
        self,
        sentences: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        convert_to_numpy: bool | None = None,
        *,
        instruction: str | None = None,
        instruction_format: str = "{}{}",
        show_progress_bar: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode texts.

        Args:
            sentences: one ``str``, or any iterable of ``str``.
            batch_size: most texts of one ONNX Runtime call; ``None`` takes the model's.
            max_length: most tokens of a text, special tokens included; ``None`` takes ``passage_max_length``.
            convert_to_numpy: ``None`` takes the model's.
            instruction: put before each text, by ``instruction_format``.
            instruction_format: first placeholder the instruction, second the text.
            show_progress_bar: ``True`` a bar on stderr, ``False`` none, ``None`` one on a terminal after two seconds.
            **kwargs: tokenizer keywords of FlagEmbedding that do not change a vector are accepted.

        Returns:
            float32 ``(n, dim)``, rows in input order, or ``(dim,)`` for one ``str``; ``(0, dim)`` for no text.

        Raises:
            TypeError, ValueError: an input that cannot be encoded; names its index. Nothing was computed.
            NumericsError: a vector that is not finite; names the text.
            ForkedProcessError: the model was opened before this process was forked.
        """
        if unknown := kwargs.keys() - _CALL_KEYWORDS_WITHOUT_EFFECT:
            raise TypeError(f"encode() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        texts, single = to_texts(sentences)
        texts = with_instruction(texts, instruction, instruction_format)
        matrix = self._vectors(texts, batch_size, max_length, show_progress_bar)
        vectors = matrix[0] if single else matrix
        as_numpy = self.convert_to_numpy if convert_to_numpy is None else convert_to_numpy
        return vectors if as_numpy else _to_torch(vectors)

    def encode_single_device(
        self,
        sentences: Any,
        batch_size: int = 256,
        max_length: int = 512,
        convert_to_numpy: bool = True,
        device: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode on the model's device; ``device`` may name it. Otherwise as `encode`."""
        if device is not None and str(parse_devices(device)) not in self.target_devices:
            raise ValueError(f"device={device!r} is not one of this model's devices {self.target_devices}")
        return self.encode(sentences, batch_size, max_length, convert_to_numpy, **kwargs)

    def _vectors(
        self, texts: list[str], batch_size: int | None, max_length: int | None, show_progress_bar: bool | None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        engine = self._open()
        self._check_options()
        length = self._usable_length("max_length", self.passage_max_length if max_length is None else max_length)
        with progress_bar(len(texts), show_progress_bar) as progress:
            matrix, truncated = engine.core.encode(
                texts,
                max_length=length,
                batch_size=whole_number("batch_size", self.batch_size if batch_size is None else batch_size, 1),
                pooling=self.pooling_method,
                normalize=bool(self.normalize_embeddings),
                truncate_dim=None if self.truncate_dim is None else whole_number("truncate_dim", self.truncate_dim, 1),
                refuse_long=self.on_truncate == "error",
                progress=progress,
            )
        if truncated and self.on_truncate == "warn":
            warn(f"{truncated} of {len(texts)} texts had more than {length} tokens and were cut")
        return matrix

    def info(self) -> dict[str, Any]:
        """Facts about the opened model: files, device, execution provider of the live session, library, limits."""
        return {**super().info(), "pooling_method": self.pooling_method}

    def _check_options(self) -> None:
        """Attributes are live, so they are checked at each call as they were by the constructor."""
        if self.pooling_method not in _POOLING_METHODS:
            raise NotImplementedError(f"pooling_method={self.pooling_method!r} is not supported; use 'cls' or 'mean'")
        one_of("on_truncate", self.on_truncate, ("ignore", "warn", "error"))
        whole_number("batch_size", self.batch_size, 1)
        if self.truncate_dim is not None:
            whole_number("truncate_dim", self.truncate_dim, 1)
        instruction_template(self.query_instruction_format)
        instruction_template(self.kwargs.get("passage_instruction_format", "{}{}"))

    def _usable_length(self, name: str, length: int | None) -> int:
        limit = self._open().source.max_length
        if length is None:
            return limit
        if whole_number(name, length, 0) <= limit:
            return length
        # The default may well be more than a small model takes; only a length that was chosen is worth a warning.
        if length != _DEFAULT_LENGTH and not self._warned_length:
            self._warned_length = True
            warn(f"{name}={length} is lowered to {limit}, the limit of {self.model_name_or_path}")
        return limit

    def _warn_about_pooling(self) -> None:
        declared = self._open().source.declared_pooling
        if declared and declared != self.pooling_method and self.pooling_method == self.DEFAULT_POOLING_METHOD:
            known = declared in _POOLING_METHODS
            warn(
                f"{self.model_name_or_path} was trained with {declared} pooling (1_Pooling/config.json), but "
                f"pooling_method={self.pooling_method!r} is used, as FlagEmbedding does. "
                + (f"Pass pooling_method={declared!r}" if known else "That pooling is not supported here")
            )


def _to_torch(vectors: np.ndarray[Any, Any]) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "convert_to_numpy=False returns torch tensors and needs torch; numpy is the default"
        ) from error
    return torch.from_numpy(np.ascontiguousarray(vectors))
