"""What embedders share: options checked and live, lengths, instructions, warnings."""

from collections.abc import Callable
from typing import Any

from bge_fast.errors import quoted, warn
from bge_fast.models.inputs import flag, one_of, whole_number
from bge_fast.models.keywords import EmbedderKeywords
from bge_fast.models.model import Model
from bge_fast.models.progress import count_truncated
from bge_fast.models.prompts import instruction_template
from bge_fast.opening.engine import EmbedderInfo
from bge_fast.opening.projection import not_applied


class AbsEmbedder(Model):
    """Base of the embedders, for ``isinstance`` checks. Open a model with a subclass."""

    DEFAULT_POOLING_METHOD = "cls"
    _pooling_methods: tuple[str, ...] = ("cls", "mean")
    _known_keywords = EmbedderKeywords
    normalize_embeddings: bool
    use_bf16: bool
    pooling_method: str
    encode: Callable[..., Any]
    query_max_length: int | None
    passage_max_length: int | None
    query_instruction_for_retrieval: str | None
    truncate_dim: int | None
    on_truncate: str

    def info(self) -> EmbedderInfo:
        """Facts about the opened model: files, device, execution provider of the live session, library, limits."""
        return {**super().info(), "pooling_method": self.pooling_method}

    def _run_once(self, text: str, length: int) -> None:
        self.encode(text, max_length=length)

    def _pooled_output(self) -> str:
        """What the graph must put out for the pooling method."""
        return {"cls": "cls", "last_token": "last"}.get(self.pooling_method, "mean")

    def _query_options(self) -> dict[str, Any]:
        return {
            "instruction": self.query_instruction_for_retrieval,
            "instruction_format": self.query_instruction_format,
        }

    def _passage_options(self) -> dict[str, Any]:
        return {
            "instruction": self.kwargs.get("passage_instruction_for_retrieval"),
            "instruction_format": self.kwargs.get("passage_instruction_format", "{}{}"),
        }

    def _core_options(self, batch_size: int | None, max_length: int | None) -> dict[str, Any]:
        """What a call of the core takes; attributes are live."""
        self._check_options()
        length = self.passage_max_length if max_length is None else max_length
        return {
            "max_length": self._usable_length("max_length", length),
            "batch_size": whole_number("batch_size", self.batch_size if batch_size is None else batch_size, 1),
            "pooling": self.pooling_method,
            "normalize": flag("normalize_embeddings", self.normalize_embeddings),
            "truncate_dim": None if self.truncate_dim is None else whole_number("truncate_dim", self.truncate_dim, 1),
            "refuse_long": self.on_truncate == "error",
        }

    def _warn_about_truncation(self, truncated: int, total: int, length: int) -> None:
        count_truncated(truncated)
        if truncated and self.on_truncate == "warn":
            warn(f"{truncated} of {total} texts had more than {length} tokens and were cut")

    def _check_options(self) -> None:
        """Attributes are live, so they are checked at each call as they were by the constructor."""
        if not isinstance(self.pooling_method, str) or self.pooling_method not in self._pooling_methods:
            known = " or ".join(map(repr, self._pooling_methods))
            raise NotImplementedError(f"pooling_method={quoted(self.pooling_method)} is not supported; use {known}")
        one_of("on_truncate", self.on_truncate, ("ignore", "warn", "error"))
        whole_number("batch_size", self.batch_size, 1)
        if self.truncate_dim is not None:
            whole_number("truncate_dim", self.truncate_dim, 1)
        instruction_template(self.query_instruction_format)
        instruction_template(self.kwargs.get("passage_instruction_format", "{}{}"))

    def _check_limits(self) -> None:
        self._warn_about_pooling()
        self._warn_about_modules()
        for name in ("query_max_length", "passage_max_length"):
            self._usable_length(name, getattr(self, name))

    def _warn_about_modules(self) -> None:
        engine = self._open()
        left_out = [] if engine.projection else not_applied(engine.files.modules)
        if left_out:
            named = ", ".join(f"{module.folder or module.kind:.80}" for module in left_out)
            can_be = self._kind == "embedder" and any(module.kind == "Dense" for module in left_out)
            warn(
                f"{self.model_name_or_path}: modules.json goes on behind the pooling with {named}, not applied, as "
                f"in FlagEmbedding{'. Pass dense=True to apply it' if can_be else ''}"
            )

    def _warn_about_pooling(self) -> None:
        declared = self._open().files.declared_pooling
        if declared and declared != self.pooling_method and self.pooling_method == self.DEFAULT_POOLING_METHOD:
            known = declared in self._pooling_methods
            warn(
                f"{self.model_name_or_path} was trained with {declared:.80} pooling (1_Pooling/config.json), but "
                f"pooling_method={quoted(self.pooling_method)} is used, as FlagEmbedding does. "
                + (f"Pass pooling_method={quoted(declared)}" if known else "That pooling is not supported here")
            )
