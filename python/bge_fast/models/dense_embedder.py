"""What embedders of one vector a text share: ``encode`` and its relatives."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np

from bge_fast.models.dense_call import encoded
from bge_fast.models.dense_streams import DenseStreams
from bge_fast.models.inputs import flag, to_texts
from bge_fast.models.keywords import Calling, Encoding, refuse_unknown_keywords
from bge_fast.models.progress import progress_bar
from bge_fast.models.prompts import with_instruction
from bge_fast.models.shapes import Matrix, Numpy, Out, Texts, Vector
from bge_fast.opening.engine import Outputs

if TYPE_CHECKING:
    from torch import Tensor

Around = tuple[str, str]


class DenseEmbedder(DenseStreams):
    """Base of the embedders whose result is one vector a text. Open a model with a subclass."""

    _kind = "embedder"
    convert_to_numpy: bool

    # To type checkers, one str is an iterable of str too: here it gives a vector, and they are told so first.
    @overload
    def encode_queries(
        self,
        queries: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        *,
        out: Out,
        **kwargs: Unpack[Calling],
    ) -> Out: ...
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
        *,
        out: Out | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode queries with the query instruction, if the model has one. Shapes, errors and keywords as `encode`."""
        length = self.query_max_length if max_length is None else max_length
        refuse_unknown_keywords("encode_queries", kwargs, Calling)
        shown, options = kwargs.get("show_progress_bar"), self._query_options()
        return self._encode(queries, batch_size, length, convert_to_numpy, shown, options, self._around(), out)

    @overload
    def encode_corpus(
        self,
        corpus: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        *,
        out: Out,
        **kwargs: Unpack[Calling],
    ) -> Out: ...
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
    def encode(
        self,
        sentences: Iterable[str],
        batch_size: int | None = ...,
        max_length: int | None = ...,
        *,
        out: Out,
        **kwargs: Unpack[Encoding],
    ) -> Out: ...
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
        out: Out | None = None,
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
            out: an array ``(n, dim)`` of float32 or float16 to write vectors to, such as a ``numpy.memmap``; it is
                what is returned. Of the vectors only a few thousand are in memory besides.
            **kwargs: tokenizer keywords of FlagEmbedding that do not change a vector are accepted.

        Returns:
            float32 ``(n, dim)``, rows in input order, or ``(dim,)`` for one ``str``; ``(0, dim)`` for no text.

        Raises:
            TypeError, ValueError: an input that cannot be encoded; names its index. Nothing was computed.
            NumericsError: a vector that is not finite; names the text.
            ForkedProcessError: the model was opened before this process was forked.
        """
        refuse_unknown_keywords("encode", kwargs)
        options = {"instruction": instruction, "instruction_format": instruction_format}
        return self._encode(sentences, batch_size, max_length, convert_to_numpy, show_progress_bar, options, out=out)

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

    def encode_multi_process(self, sentences: Texts, pool: object, **kwargs: Any) -> "Vector | Matrix | Tensor":
        """Encode in this process, whatever ``pool`` is; results and keywords of `encode_single_device`."""
        return self.encode_single_device(sentences, **kwargs)

    def _encode(
        self,
        sentences: Texts,
        batch_size: int | None,
        max_length: int | None,
        convert_to_numpy: bool | None,
        show_progress_bar: bool | None,
        instructions: dict[str, Any],
        around: Around | None = None,
        out: Any = None,
    ) -> Any:
        as_numpy = flag("convert_to_numpy", self.convert_to_numpy if convert_to_numpy is None else convert_to_numpy)
        texts, single = to_texts(sentences)
        texts = with_instruction(texts, **instructions)
        engine, options = self._open(), self._core_options(batch_size, max_length)
        options |= {} if around is None else {"around": around}
        if out is not None:
            return self._encode_into(out, None if single else texts, engine, options, show_progress_bar)
        with progress_bar(len(texts), show_progress_bar) as progress:
            matrix, truncated = encoded(engine, texts, options, progress)
        self._warn_about_truncation(truncated, len(texts), options["max_length"])
        vectors = matrix[0] if single else matrix
        return vectors if as_numpy else _to_torch(vectors)

    def _around(self) -> Around | None:
        """The texts before and behind each query, for models that learn in context."""
        return None

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
