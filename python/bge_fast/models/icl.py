"""Decoder-only embedders that learn in context: ``FlagICLModel``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from bge_fast.errors import quoted
from bge_fast.models.dense_embedder import Around
from bge_fast.models.inputs import characters
from bge_fast.models.keywords import Calling, DecoderKeywords
from bge_fast.models.llm import DecoderEmbedder
from bge_fast.models.shapes import Devices, Matrix, Texts, Vector

if TYPE_CHECKING:
    from torch import Tensor

Example = Mapping[str, str | None]
"""``instruct``, ``query`` and ``response`` of an example; each may be left out."""


class FlagICLModel(DecoderEmbedder):
    """Dense vectors of an embedder that takes examples before each query, such as bge-en-icl.

    Args:
        query_instruction_format: before a query; first placeholder the instruction, second the text.
        suffix: put behind each query.
        examples_for_task: put before each query; see `set_examples`.
        examples_instruction_format: how; placeholders are an example's instruction, query and response.

    Other arguments and errors as for `FlagLLMModel`. Passages have neither examples nor suffix.

    Source: ``FlagEmbedding.FlagICLModel`` of FlagEmbedding 1.4.2.
    """

    query_pool: None = None
    suffix: str
    prefix: str = ""
    """What stands before each query: the examples."""
    examples_for_task: Sequence[Example] | None
    examples_instruction_format: str

    def __init__(
        self,
        model_name_or_path: str,
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        use_bf16: bool = False,
        query_instruction_for_retrieval: str | None = None,
        query_instruction_format: str = "<instruct>{}\n<query>{}",
        suffix: str = "\n<response>",
        devices: Devices = None,
        examples_for_task: Sequence[Example] | None = None,
        examples_instruction_format: str = "<instruct>{}\n<query>{}\n<response>{}",
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
        query_instruction_format = _with_line_feeds("query_instruction_format", query_instruction_format)
        examples_instruction_format = _with_line_feeds("examples_instruction_format", examples_instruction_format)
        self._start(locals())

    def set_examples(self, examples_for_task: Sequence[Example] | None = None) -> None:
        """Put other examples before queries; without any, those of ``examples_for_task``.

        The query instruction is read now: it is that of examples that say none.

        Raises:
            TypeError: an example that is no dictionary; names its index.
        """
        examples = self.examples_for_task if examples_for_task is None else examples_for_task
        if examples is None:
            self.prefix = ""
            return
        detailed = []
        for index, example in enumerate(examples):
            if not isinstance(example, Mapping):
                raise TypeError(f"examples_for_task[{index}] is {type(example).__name__}, not a dict")
            instruct: Any = example.get("instruct", self.query_instruction_for_retrieval)
            parts: list[Any] = [instruct, example.get("query", ""), example.get("response", "")]
            detailed.append(self.get_detailed_example(self.examples_instruction_format, *parts))
        self.prefix = "\n\n".join(detailed) + "\n\n"

    @staticmethod
    def get_detailed_example(instruction_format: str, instruction: str, query: str, response: str) -> str:
        """Return an example by the format."""
        template = _with_line_feeds("instruction_format", instruction_format)
        try:
            return template.format(instruction, query, response)
        except (IndexError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"examples format {quoted(instruction_format)} is not valid: {error!s:.80}") from error

    def encode_queries_single_device(
        self,
        queries: Texts,
        batch_size: int = 256,
        max_length: int = 512,
        convert_to_numpy: bool = True,
        device: str | None = None,
        **kwargs: Unpack[Calling],
    ) -> "Vector | Matrix | Tensor":
        """Encode queries on the model's device; ``device`` may name it. Otherwise as `encode_queries`."""
        self._check_device(device)
        return self.encode_queries(queries, batch_size, max_length, convert_to_numpy, **kwargs)

    def stop_self_query_pool(self) -> None:
        """Do nothing: there is no pool of processes. The model stays usable."""

    def _around(self) -> Around:
        return characters(self.prefix), characters(self.suffix)

    def _check_options(self) -> None:
        super()._check_options()
        if not isinstance(self.suffix, str):
            raise TypeError(f"suffix must be a str, got {quoted(self.suffix)}")
        if not self.prefix:
            self.set_examples()


def _with_line_feeds(name: str, instruction_format: Any) -> str:
    if not isinstance(instruction_format, str):
        raise ValueError(f"{name} {quoted(instruction_format)} is not a str")
    return characters(instruction_format).replace("\\n", "\n")
