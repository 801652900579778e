"""BGE-M3: dense, lexical and multi-vector output of one pass. ``BGEM3FlagModel``."""

from collections.abc import Iterable
from typing import Any, Unpack, overload

from bge_fast.models.inputs import to_texts
from bge_fast.models.keywords import M3Calling, M3Encoding, M3Keywords, M3TokenizerKeywords, refuse_unknown_keywords
from bge_fast.models.m3_streams import M3Streams
from bge_fast.models.prompts import with_instruction
from bge_fast.models.shapes import Array, Devices, M3Output, M3OutputOfOne, Texts


class BGEM3FlagModel(M3Streams):
    """Dense, sparse and multi-vector output of BGE-M3, with FlagEmbedding's names, defaults and numbers.

    Args:
        model_name_or_path: a checkpoint's folder, a model folder, or a hub id. The heads are ``sparse_linear.pt`` and
            ``colbert_linear.pt`` beside the encoder; a model without them gives dense vectors alone.
        normalize_embeddings: scale dense vectors and multi-vectors to unit length.
        use_fp16: on CUDA, run the fp16 graph where there is one. The CPU always computes in fp32.
        use_bf16: on CUDA, run the fp32 graph: bf16 is asked for its range.
        query_instruction_for_retrieval: put before each text of ``encode_queries``; M3 needs none.
        query_instruction_format: how; first placeholder the instruction, second the text.
        devices: ``None``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``, ``0``; ``None`` takes the first CUDA device where
            ``onnxruntime-gpu`` is installed and usable, else the CPU.
        pooling_method: of dense vectors: ``"cls"``, ``"mean"`` or ``"last_token"``.
        trust_remote_code: accepted, without effect: Python from a repository is never run.
        cache_dir: the hub's cache folder.
        colbert_dim: the multi-vector head's width; 0 or less takes what it has.
        batch_size: most texts of one ONNX Runtime call; batches are also bounded by their tokens.
        query_max_length: most tokens of a query, special tokens included; the model takes up to 8192.
        passage_max_length: the same for passages.
        return_dense: return dense vectors where a call does not say.
        return_sparse: the same for lexical weights.
        return_colbert_vecs: the same for multi-vectors.
        truncate_dim: keep this many leading components of dense vectors and multi-vectors, before normalization.
        precision: ``"fp32"`` or ``"fp16"``; wins over ``use_fp16``.
        threads: CPU threads; by default all that affinity and cgroup allow.
        low_memory: leave weights in the mapped file instead of repacking them for speed: opens faster, needs less
            private memory, runs slower.
        onnx_file: the graph to open, by its name in the folder or repository, such as ``"onnx/model_O3.onnx"``; by
            default weights or ``onnx/model.onnx``.
        on_fork: what a forked child does with a model that its parent opened: ``"reopen"`` opens it again by itself,
            once, from the same files; ``"error"`` raises ``ForkedProcessError``.
        on_truncate: what happens to texts over the length limit: ``"ignore"`` cuts them, ``"warn"`` also warns once
            a call, ``"error"`` refuses them.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.
        NotImplementedError: a ``pooling_method`` that is not supported.
        ValueError: a ``colbert_dim`` that is not the head's.

    Source: ``FlagEmbedding.BGEM3FlagModel`` of FlagEmbedding 1.4.2.
    """

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
        colbert_dim: int = -1,
        batch_size: int = 256,
        query_max_length: int = 512,
        passage_max_length: int = 512,
        return_dense: bool = True,
        return_sparse: bool = False,
        return_colbert_vecs: bool = False,
        truncate_dim: int | None = None,
        *,
        precision: str | None = None,
        threads: int | None = None,
        low_memory: bool = False,
        onnx_file: str | None = None,
        on_fork: str = "reopen",
        on_truncate: str = "ignore",
        **kwargs: Unpack[M3Keywords],
    ) -> None:
        self._start(locals())

    # To type checkers, one str is an iterable of str too: it gives the output of one text, and they are told so first.
    @overload
    def encode_queries(  # type: ignore[overload-overlap]
        self,
        queries: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3OutputOfOne: ...
    @overload
    def encode_queries(
        self,
        queries: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3Output: ...
    def encode_queries(
        self,
        queries: Texts,
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode queries with the query instruction, if the model has one. Shapes, errors and keywords as `encode`."""
        length = self.query_max_length if max_length is None else max_length
        return self.encode(
            queries,
            batch_size,
            length,
            return_dense,
            return_sparse,
            return_colbert_vecs,
            **self._query_options(),
            **kwargs,
        )

    @overload
    def encode_corpus(  # type: ignore[overload-overlap]
        self,
        corpus: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3OutputOfOne: ...
    @overload
    def encode_corpus(
        self,
        corpus: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Calling],
    ) -> M3Output: ...
    def encode_corpus(
        self,
        corpus: Texts,
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode passages, with ``passage_instruction_for_retrieval`` if the constructor got it; else as `encode`."""
        return self.encode(
            corpus,
            batch_size,
            max_length,
            return_dense,
            return_sparse,
            return_colbert_vecs,
            **self._passage_options(),
            **kwargs,
        )

    @overload
    def encode(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Encoding],
    ) -> M3OutputOfOne: ...
    @overload
    def encode(
        self,
        sentences: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        return_dense: bool | None = ...,
        return_sparse: bool | None = ...,
        return_colbert_vecs: bool | None = ...,
        **kwargs: Unpack[M3Encoding],
    ) -> M3Output: ...
    def encode(
        self,
        sentences: Texts,
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
        *,
        instruction: str | None = None,
        instruction_format: str | None = "{}{}",
        show_progress_bar: bool | None = None,
        out: Array | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode texts, in one pass for everything asked for.

        Args:
            sentences: one ``str``, or any iterable of ``str``.
            batch_size: most texts of one ONNX Runtime call; ``None`` takes the model's.
            max_length: most tokens of a text, special tokens included; ``None`` takes ``passage_max_length``.
            return_dense, return_sparse, return_colbert_vecs: what to return; ``None`` takes the model's.
            instruction: put before each text, by ``instruction_format``.
            instruction_format: first placeholder the instruction, second the text.
            show_progress_bar: ``True`` a bar, ``False`` none, ``None`` one where somebody watches, after two seconds.
            out: an array ``(n, dim)`` of float32 or float16 that dense vectors are written to, such as a
                ``numpy.memmap``; it is what ``dense_vecs`` will be.
            **kwargs: tokenizer keywords of FlagEmbedding that do not change a number are accepted.

        Returns:
            A dict with ``dense_vecs`` (float32 ``(n, dim)``), ``lexical_weights`` (a list of
            ``defaultdict(int)``, ``{"token id": weight}``) and ``colbert_vecs`` (a list of float32
            ``(tokens - 1, dim)``); ``None`` where a mode was not asked for; for one ``str`` without the outer
            dimension or list.

        Raises:
            AssertionError: no mode was asked for.
            ValueError: a mode that this model has no head for; or, with TypeError, an input that cannot be encoded.
            NumericsError: a number that is not finite; names the text.
        """
        refuse_unknown_keywords("encode", kwargs, M3TokenizerKeywords)
        modes = self._modes(return_dense, return_sparse, return_colbert_vecs)
        texts, single = to_texts(sentences)
        if single and out is not None:
            raise TypeError("out takes the vectors of many texts; for one pass [text], and an array of one row")
        texts = with_instruction(texts, instruction, instruction_format)
        dense, sparse, colbert = self._vectors(texts, batch_size, max_length, modes, show_progress_bar, out=out)
        weights = None if sparse is None else sparse.to_dicts()
        results = {"dense_vecs": dense, "lexical_weights": weights, "colbert_vecs": colbert}
        if single:
            return {name: None if result is None else result[0] for name, result in results.items()}
        return results

    def encode_single_device(
        self,
        sentences: Texts,
        batch_size: int = 256,
        max_length: int = 512,
        return_dense: bool = True,
        return_sparse: bool = False,
        return_colbert_vecs: bool = False,
        device: str | None = None,
        **kwargs: Unpack[M3Encoding],
    ) -> M3Output | M3OutputOfOne:
        """Encode on the model's device; ``device`` may name it. Otherwise as `encode`."""
        self._check_device(device)
        return self.encode(
            sentences, batch_size, max_length, return_dense, return_sparse, return_colbert_vecs, **kwargs
        )

    def encode_multi_process(self, sentences: Texts, pool: object, **kwargs: Any) -> M3Output | M3OutputOfOne:
        """Encode in this process, whatever ``pool`` is; results and keywords of `encode_single_device`."""
        return self.encode_single_device(sentences, **kwargs)
