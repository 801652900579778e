"""BGE-M3: dense, lexical and multi-vector output of one pass. ``BGEM3FlagModel``."""

from types import SimpleNamespace
from typing import Any

from bge_fast.models.dense import pooling_output
from bge_fast.models.inputs import to_texts
from bge_fast.models.m3_scores import M3Scores
from bge_fast.models.model import CALL_KEYWORDS_WITHOUT_EFFECT, refuse_unknown_keywords
from bge_fast.models.prompts import with_instruction
from bge_fast.models.results import M3Vectors


class BGEM3FlagModel(M3Scores):
    """Dense, sparse and multi-vector output of BGE-M3, with FlagEmbedding's names, defaults and numbers.

    Args:
        model_name_or_path: a checkpoint's folder, a model folder, or a hub id. The heads are ``sparse_linear.pt`` and
            ``colbert_linear.pt`` beside the encoder; a model without them gives dense vectors alone.
        normalize_embeddings: scale dense vectors and multi-vectors to unit length.
        use_fp16: on CUDA, run the fp16 graph where there is one. The CPU always computes in fp32.
        use_bf16: on CUDA, run the fp32 graph: bf16 is asked for its range.
        query_instruction_for_retrieval: put before each text of ``encode_queries``; M3 needs none.
        query_instruction_format: how; first placeholder the instruction, second the text.
        devices: as of `FlagModel`.
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
        precision, threads, low_memory, on_truncate: as of `FlagModel`.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.
        NotImplementedError: a ``pooling_method`` that is not supported.
        ValueError: a ``colbert_dim`` that is not the head's.

    Source: ``FlagEmbedding.BGEM3FlagModel`` of FlagEmbedding 1.4.2.
    """

    _pooling_methods = ("cls", "mean", "last_token")
    _known_keywords = M3Scores._known_keywords | {"convert_to_numpy"}
    return_dense: bool
    return_sparse: bool
    return_colbert_vecs: bool
    colbert_dim: int

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
        on_truncate: str = "ignore",
        **kwargs: Any,
    ) -> None:
        self._start(
            {
                "model_name_or_path": model_name_or_path,
                "normalize_embeddings": normalize_embeddings,
                "use_fp16": use_fp16,
                "use_bf16": use_bf16,
                "query_instruction_for_retrieval": query_instruction_for_retrieval,
                "query_instruction_format": query_instruction_format,
                "pooling_method": pooling_method,
                "trust_remote_code": trust_remote_code,
                "colbert_dim": colbert_dim,
                "batch_size": batch_size,
                "query_max_length": query_max_length,
                "passage_max_length": passage_max_length,
                "return_dense": return_dense,
                "return_sparse": return_sparse,
                "return_colbert_vecs": return_colbert_vecs,
                "truncate_dim": truncate_dim,
                "on_truncate": on_truncate,
            },
            kwargs,
            kind="m3",
            devices=devices,
            precision=precision,
            prefer_fp16=use_fp16 and not use_bf16,
            cache_dir=cache_dir,
            threads=threads,
            low_memory=low_memory,
            first=_outputs(pooling_method, return_dense, return_sparse, return_colbert_vecs),
        )
        width = self._open().heads.get("colbert_linear")
        if colbert_dim > 0 and width is not None and colbert_dim != width:
            raise ValueError(f"colbert_dim={colbert_dim}, but the multi-vector head of {self!r} has the width {width}")

    def encode_queries(
        self,
        queries: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
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

    def encode_corpus(
        self,
        corpus: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
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

    def encode(
        self,
        sentences: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
        *,
        instruction: str | None = None,
        instruction_format: str | None = "{}{}",
        show_progress_bar: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Encode texts, in one pass for everything asked for.

        Args:
            sentences: one ``str``, or any iterable of ``str``.
            batch_size: most texts of one ONNX Runtime call; ``None`` takes the model's.
            max_length: most tokens of a text, special tokens included; ``None`` takes ``passage_max_length``.
            return_dense, return_sparse, return_colbert_vecs: what to return; ``None`` takes the model's.
            instruction: put before each text, by ``instruction_format``.
            instruction_format: first placeholder the instruction, second the text.
            show_progress_bar: ``True`` a bar on stderr, ``False`` none, ``None`` one on a terminal after two seconds.
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
        refuse_unknown_keywords("encode", kwargs, CALL_KEYWORDS_WITHOUT_EFFECT | {"convert_to_numpy"})
        modes = self._modes(return_dense, return_sparse, return_colbert_vecs)
        texts, single = to_texts(sentences)
        texts = with_instruction(texts, instruction, instruction_format)
        dense, sparse, colbert = self._vectors(texts, batch_size, max_length, modes, show_progress_bar)
        weights = None if sparse is None else sparse.to_dicts()
        results = {"dense_vecs": dense, "lexical_weights": weights, "colbert_vecs": colbert}
        if single:
            return {name: None if result is None else result[0] for name, result in results.items()}
        return results

    def encode_vectors(
        self,
        texts: Any,
        *,
        batch_size: int | None = None,
        max_length: int | None = None,
        dense: bool = True,
        sparse: bool = True,
        colbert: bool = False,
        query: bool = False,
        show_progress_bar: bool | None = None,
    ) -> M3Vectors:
        """Encode texts into native batches: arrays over all texts instead of a dict and a matrix for each.

        Args:
            texts: one ``str``, or any iterable of ``str``; the result is a batch in any case.
            query: encode as ``encode_queries`` does instead of as ``encode_corpus``.
        """
        options = self._query_options() if query else self._passage_options()
        length = self.query_max_length if query and max_length is None else max_length
        listed = with_instruction(to_texts(texts)[0], **options)
        modes = self._modes(dense, sparse, colbert)
        return M3Vectors(*self._vectors(listed, batch_size, length, modes, show_progress_bar, joined=True))

    def encode_single_device(
        self,
        sentences: Any,
        batch_size: int = 256,
        max_length: int = 512,
        return_dense: bool = True,
        return_sparse: bool = False,
        return_colbert_vecs: bool = False,
        device: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Encode on the model's device; ``device`` may name it. Otherwise as `encode`."""
        self._check_device(device)
        return self.encode(
            sentences, batch_size, max_length, return_dense, return_sparse, return_colbert_vecs, **kwargs
        )

    @property
    def model(self) -> SimpleNamespace:
        """Not a torch module: ``config``, ``model.config`` and ``colbert_linear.out_features`` are there to be read."""
        config = super().model.config
        head = SimpleNamespace(out_features=self._open().heads.get("colbert_linear"))
        return SimpleNamespace(config=config, model=SimpleNamespace(config=config), colbert_linear=head)

    def _modes(self, dense: bool | None, sparse: bool | None, colbert: bool | None) -> tuple[bool, bool, bool]:
        modes = (
            bool(self.return_dense if dense is None else dense),
            bool(self.return_sparse if sparse is None else sparse),
            bool(self.return_colbert_vecs if colbert is None else colbert),
        )
        if not any(modes):
            raise AssertionError(
                "one of return_dense, return_sparse and return_colbert_vecs must be true, or there is nothing to return"
            )
        self._check_heads(sparse=modes[1], colbert=modes[2])
        return modes

    def _vectors(
        self,
        texts: list[str],
        batch_size: int | None,
        max_length: int | None,
        modes: tuple[bool, bool, bool],
        show_progress_bar: bool | None,
        joined: bool = False,
    ) -> tuple[Any, Any, Any]:
        """Dense, sparse and multi-vector output; warns about texts that were cut where the model is to."""
        call = self._call(batch_size, max_length)
        *vectors, truncated = call.encode(texts, modes, show_progress_bar, joined)
        self._warn_about_truncation(truncated, len(texts), call.options["max_length"])
        return vectors[0], vectors[1], vectors[2]


def _outputs(pooling_method: str, dense: bool, sparse: bool, colbert: bool) -> str:
    wanted = {pooling_output(pooling_method): dense, "sparse": sparse, "colbert": colbert}
    return "+".join(name for name, on in wanted.items() if on) or "cls"
