"""Dense embedders: ``FlagModel``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np

from bge_fast.models.dense_call import encoded
from bge_fast.models.embedder import AbsEmbedder
from bge_fast.models.inputs import flag, to_texts
from bge_fast.models.keywords import Calling, EmbedderKeywords, Encoding, refuse_unknown_keywords
from bge_fast.models.progress import progress_bar
from bge_fast.models.prompts import with_instruction
from bge_fast.models.shapes import Devices, Matrix, Numpy, Texts, Vector
from bge_fast.opening.engine import Outputs

if TYPE_CHECKING:
    from torch import Tensor


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
        threads: CPU threads, 1,024 at most; by default what ``OMP_NUM_THREADS`` says, else all that affinity and cgroup
                allow.
        low_memory: leave weights in the mapped file instead of repacking them for speed: opens faster, needs a third
            of the private memory, several processes share the rest; queries take 1.7 times as long.
        onnx_file: the graph to open, by its name in the folder or repository, such as ``"onnx/model_O3.onnx"``; by
            default weights or ``onnx/model.onnx``.
        on_fork: what a forked child does with a model that its parent opened: ``"reopen"`` opens it again by itself,
            once, from the same files; ``"error"`` raises ``ForkedProcessError``.
        dense: apply the linear layers that sentence-transformers has behind the pooling (``2_Dense``), which
            FlagEmbedding leaves out; normalization before them as in ``modules.json``, at the end as
            ``normalize_embeddings`` says.
        on_truncate: what happens to texts over the length limit: ``"ignore"`` cuts them, ``"warn"`` also warns once
            a call, ``"error"`` refuses them.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.
        NotImplementedError: a ``pooling_method`` other than cls and mean.

    Source: ``FlagEmbedding.FlagModel`` of FlagEmbedding 1.4.2.
    """

    _kind = "embedder"
    convert_to_numpy: bool

    def __init__(
        self,
        model_name_or_path: str,
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        use_bf16: bool = False,
        query_instruction_for_retrieval: str | None = None,
        query_instruction_format: str = "{}{}",
        devices: Devices = None,
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
        onnx_file: str | None = None,
        on_fork: str = "reopen",
        dense: bool = False,
        on_truncate: str = "ignore",
        **kwargs: Unpack[EmbedderKeywords],
    ) -> None:
        self._start(locals())

    # To type checkers, one str is an iterable of str too: here it gives a vector, and they are told so first.
    @overload
    def encode_queries(  # type: ignore[overload-overlap]
        self,
        queries: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Vector: ...
    @overload
    def encode_queries(
        self,
        queries: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Matrix: ...
    @overload
    def encode_queries(
        self,
        queries: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Literal[False] = ...,
        **kwargs: Unpack[Calling],
    ) -> "Tensor": ...
    @overload
    def encode_queries(
        self,
        queries: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: bool | None = ...,
        **kwargs: Unpack[Calling],
    ) -> "Vector | Matrix | Tensor": ...
    def encode_queries(
        self,
        queries: Texts,
        batch_size: int | None = None,
        max_length: int | None = None,
        convert_to_numpy: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode queries with the query instruction, if the model has one. Shapes, errors and keywords as `encode`."""
        length = self.query_max_length if max_length is None else max_length
        return self.encode(queries, batch_size, length, convert_to_numpy, **self._query_options(), **kwargs)

    @overload
    def encode_corpus(  # type: ignore[overload-overlap]
        self,
        corpus: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Vector: ...
    @overload
    def encode_corpus(
        self,
        corpus: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Calling],
    ) -> Matrix: ...
    @overload
    def encode_corpus(
        self,
        corpus: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Literal[False] = ...,
        **kwargs: Unpack[Calling],
    ) -> "Tensor": ...
    @overload
    def encode_corpus(
        self,
        corpus: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: bool | None = ...,
        **kwargs: Unpack[Calling],
    ) -> "Vector | Matrix | Tensor": ...
    def encode_corpus(
        self,
        corpus: Texts,
        batch_size: int | None = None,
        max_length: int | None = None,
        convert_to_numpy: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode passages, with ``passage_instruction_for_retrieval`` if the constructor got it; else as `encode`."""
        return self.encode(corpus, batch_size, max_length, convert_to_numpy, **self._passage_options(), **kwargs)

    @overload
    def encode(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Encoding],
    ) -> Vector: ...
    @overload
    def encode(
        self,
        sentences: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Numpy = ...,
        **kwargs: Unpack[Encoding],
    ) -> Matrix: ...
    @overload
    def encode(
        self,
        sentences: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: Literal[False] = ...,
        **kwargs: Unpack[Encoding],
    ) -> "Tensor": ...
    @overload
    def encode(
        self,
        sentences: Texts,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        convert_to_numpy: bool | None = ...,
        **kwargs: Unpack[Encoding],
    ) -> "Vector | Matrix | Tensor": ...
    def encode(
        self,
        sentences: Texts,
        batch_size: int | None = None,
        max_length: int | None = None,
        convert_to_numpy: bool | None = None,
        *,
        instruction: str | None = None,
        instruction_format: str | None = "{}{}",
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
            show_progress_bar: ``True`` a bar, ``False`` none, ``None`` one where somebody watches, after two seconds.
            **kwargs: tokenizer keywords of FlagEmbedding that do not change a vector are accepted.

        Returns:
            float32 ``(n, dim)``, rows in input order, or ``(dim,)`` for one ``str``; ``(0, dim)`` for no text.

        Raises:
            TypeError, ValueError: an input that cannot be encoded; names its index. Nothing was computed.
            NumericsError: a vector that is not finite; names the text.
            ForkedProcessError: the model was opened before this process was forked.
        """
        refuse_unknown_keywords("encode", kwargs)
        as_numpy = flag("convert_to_numpy", self.convert_to_numpy if convert_to_numpy is None else convert_to_numpy)
        texts, single = to_texts(sentences)
        texts = with_instruction(texts, instruction, instruction_format)
        engine, options = self._open(), self._core_options(batch_size, max_length)
        with progress_bar(len(texts), show_progress_bar) as progress:
            matrix, truncated = encoded(engine, texts, options, progress)
        self._warn_about_truncation(truncated, len(texts), options["max_length"])
        vectors = matrix[0] if single else matrix
        return vectors if as_numpy else _to_torch(vectors)

    def encode_single_device(
        self,
        sentences: Texts,
        batch_size: int = 256,
        max_length: int = 512,
        convert_to_numpy: bool = True,
        device: str | None = None,
        **kwargs: Unpack[Encoding],
    ) -> "Vector | Matrix | Tensor":
        """Encode on the model's device; ``device`` may name it. Otherwise as `encode`."""
        self._check_device(device)
        return self.encode(sentences, batch_size, max_length, convert_to_numpy, **kwargs)

    def _outputs_at_start(self) -> Outputs:
        return (self._pooled_output(),)


def _to_torch(vectors: Vector | Matrix) -> "Tensor":
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "convert_to_numpy=False returns torch tensors and needs torch; numpy is the default"
        ) from error
    return torch.from_numpy(np.ascontiguousarray(vectors))
