"""`SentenceTransformer`: sentence-transformers' embedder, as programs call it, without torch."""

from collections.abc import Mapping
from typing import Any, Self

from bge_fast.errors import quoted
from bge_fast.integrations.sentence_transformers import similarity
from bge_fast.integrations.sentence_transformers.calls import check_call, old_name, tensor, vectors
from bge_fast.integrations.sentence_transformers.opened import checked_arguments, model_with_settings

_DEFAULT_BATCH_SIZE = 32


class SentenceTransformer:
    """A BGE embedder with the methods of ``sentence_transformers.SentenceTransformer``, and its numbers.

    A name is opened as its files say: pooling, normalization, linear layers, ``max_seq_length`` and prompts. A model
    that is open stays as it is; its own instructions are put before texts of `encode_query` and `encode_document`
    where no prompt is.

    Args:
        model_name_or_path: a hub id, a folder, or an embedder of bge_fast.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:0"``; by default what ``devices=None`` takes.
        prompts: name → text that is put before each text; they win over those of the files.
        default_prompt_name: the one that `encode` takes where a call names none.
        cache_folder: the hub's cache folder.
        similarity_fn_name: ``"cosine"`` (the default), ``"dot"``, ``"euclidean"`` or ``"manhattan"``.
        truncate_dim: keep this many leading components; not scaled to unit length again unless a call asks for it.
        **arguments: of the model class, such as ``precision=`` or ``threads=``, and ``model_class=``.

    Raises:
        TypeError: an argument of sentence-transformers that cannot be honoured; says what to do instead.
        ValueError: an unknown prompt or similarity.
        BGEFastError: the model does not open; see `bge_fast.errors`.
    """

    def __init__(
        self,
        model_name_or_path: Any,
        *,
        device: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | None = None,
        similarity_fn_name: Any = None,
        truncate_dim: int | None = None,
        **arguments: Any,
    ) -> None:
        opening = {"devices": device, "cache_dir": cache_folder, **checked_arguments(arguments)}
        given = {name: value for name, value in opening.items() if value is not None}
        self.model, settings = model_with_settings(model_name_or_path, given)
        self.prompts = {"query": "", "document": "", **settings.prompts, **(prompts or {})}
        self.default_prompt_name = default_prompt_name or settings.default_prompt_name
        if self.default_prompt_name is not None:
            self._prompt(self.default_prompt_name)
        self.similarity_fn_name = similarity.checked_name(similarity_fn_name or settings.similarity or "cosine")
        self.truncate_dim = truncate_dim
        self._pools_prompt = settings.pools_prompt
        limit = self.model.info()["max_length"]
        opened_here = self.model is not model_name_or_path
        self._max_seq_length = min(settings.max_seq_length or limit, limit) if opened_here else None

    @old_name
    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode texts.

        Args:
            inputs: one ``str``, or any iterable of ``str``; ``sentences=`` is an older name of it.
            prompt_name: the prompt of that name is put before each text; ``None`` takes ``default_prompt_name``.
            prompt: text that is put before each text; wins over ``prompt_name``.
            batch_size: most texts of one ONNX Runtime call; the default, 32, leaves it to the model.
            show_progress_bar: ``True`` a bar, ``False`` none, ``None`` one where somebody watches, after two seconds.
            precision: ``"float32"``, or what `bge_fast.quantize_embeddings` makes of the vectors: ``"int8"``,
                ``"uint8"``, ``"binary"``, ``"ubinary"``.
            convert_to_numpy: ``False`` gives a list of torch tensors and needs torch.
            convert_to_tensor: give one torch tensor; needs torch.
            device: the model's own, or ``None``.
            normalize_embeddings: scale vectors to unit length at the end, whatever the model does.
            truncate_dim: ``None`` takes the object's.
            output_value, pool, chunk_size: only their defaults; a call that asks for more is an error.

        Returns:
            float32 ``(n, dim)``, or ``(dim,)`` for one ``str``; ``(0, dim)`` for no text.

        Raises:
            TypeError, ValueError: an input or an option that cannot be taken.
            ImportError: torch tensors without torch.
        """
        check_call(self.device, device, pool, chunk_size, kwargs)
        if output_value != "sentence_embedding":
            raise ValueError(
                f"output_value={quoted(output_value)} is not supported; vectors of tokens are a matter of the real "
                "SentenceTransformer, or of BGEM3FlagModel's multi-vectors"
            )
        options = {
            "batch_size": None if batch_size == _DEFAULT_BATCH_SIZE else batch_size,
            "max_length": None if self._max_seq_length is None else self.max_seq_length,
            "show_progress_bar": show_progress_bar,
        }
        texts = [inputs] if isinstance(inputs, str) else inputs
        rows = vectors(self.model, texts, self._resolved(prompt, prompt_name), kwargs.get("task"), **options)
        rows = rows[:, : truncate_dim or self.truncate_dim]
        if normalize_embeddings:
            rows = similarity.unit(rows)
        if precision not in (None, "float32"):
            rows = _quantized(rows, precision)
        result = rows[0] if isinstance(inputs, str) else rows
        if convert_to_tensor or not convert_to_numpy:
            result = tensor(result)
            return result if convert_to_tensor or isinstance(inputs, str) else list(result)
        return result

    @old_name
    def encode_query(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode queries: with the prompt ``"query"``, or where it is empty the model's own instruction."""
        options = _options(locals())
        if prompt is None and prompt_name is None and "query" in self.prompts:
            options["prompt_name"] = "query"
        return self.encode(inputs, **options, **{"task": "query", **kwargs})

    @old_name
    def encode_document(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode passages: with the prompt ``"document"``, or where it is empty the model's own instruction."""
        options = _options(locals())
        if prompt is None and prompt_name is None:
            named = (name for name in ("document", "passage", "corpus") if name in self.prompts)
            options["prompt_name"] = next(named, None)
        return self.encode(inputs, **options, **{"task": "document", **kwargs})

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Similarities of all pairs, float32 ``(n, m)``, by ``similarity_fn_name``; distances are negative."""
        return similarity.of_all(similarity.checked_name(self.similarity_fn_name), embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Similarities of the first with the first, and so on: float32 ``(n,)``."""
        return similarity.pairwise(similarity.checked_name(self.similarity_fn_name), embeddings1, embeddings2)

    def get_embedding_dimension(self) -> int:
        """Numbers of a vector, after ``truncate_dim``."""
        whole: int = self.model.info()["dimension"]
        return min(whole, self.truncate_dim or whole, self.model.truncate_dim or whole)

    def get_sentence_embedding_dimension(self) -> int:
        """As `get_embedding_dimension`, under its older name."""
        return self.get_embedding_dimension()

    @property
    def max_seq_length(self) -> int:
        """Most tokens of a text, special tokens included; may be set, up to what the model takes."""
        limit: int = self.model.info()["max_length"]
        own = self.model.passage_max_length if self._max_seq_length is None else self._max_seq_length
        return min(own or limit, limit)

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        self._max_seq_length = length

    def get_max_seq_length(self) -> int:
        """As ``max_seq_length``."""
        return self.max_seq_length

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.model.tokenizer

    @property
    def device(self) -> str:
        """The device in use; a ``str``, where sentence-transformers has a ``torch.device``."""
        return self.model.info()["device"]

    def eval(self) -> Self:
        """Do nothing: the model never trains."""
        return self

    def to(self, device: Any) -> Self:
        """Return the object itself.

        Raises:
            ValueError: another device than the model's.
        """
        check_call(self.device, device, None, None, {})
        return self

    def __repr__(self) -> str:
        return f"SentenceTransformer({self.model!r})"

    def _prompt(self, name: str) -> str:
        if name not in self.prompts:
            raise ValueError(f"there is no prompt {quoted(name)}, only {', '.join(map(repr, self.prompts))}")
        return self.prompts[name]

    def _resolved(self, prompt: str | None, prompt_name: str | None) -> str | None:
        """The text that goes before each text; ``None`` or empty for none."""
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        found = prompt if prompt is not None or name is None else self._prompt(name)
        if found and not self._pools_prompt:
            raise ValueError(
                f"{self.model!r} leaves prompts out of its pooling (include_prompt), which bge-fast cannot"
            )
        return found


def _options(arguments: dict[str, Any]) -> dict[str, Any]:
    """What `encode_query` and `encode_document` hand on, of all they were called with."""
    return {name: value for name, value in arguments.items() if name not in ("self", "inputs", "kwargs")}


def _quantized(rows: Any, precision: Any) -> Any:
    from bge_fast import quantize_embeddings

    return quantize_embeddings(rows, precision)
