"""What rerankers share: instructions of both sides, lengths, sorting by scores."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_fast.models.inputs import flag, to_pairs, to_texts, whole_number
from bge_fast.models.model import Model
from bge_fast.models.prompts import instruction_template, with_instruction
from bge_fast.models.shapes import Pair, Pairs, Texts
from bge_fast.opening.engine import Outputs


class Ranked(NamedTuple):
    """A passage's place in the list that was passed, and its score."""

    position: int
    score: float


class AbsReranker(Model):
    """Base of the rerankers, for ``isinstance`` checks. Open a model with a subclass."""

    _kind = "reranker"
    compute_score: Callable[..., Any]
    compute_score_single_gpu: Callable[..., Any]
    query_instruction_for_rerank: str | None
    passage_instruction_for_rerank: str | None
    passage_instruction_format: str
    query_max_length: int | None
    max_length: int
    normalize: bool

    def encode_multi_process(self, sentence_pairs: Pair | Pairs, pool: object, **kwargs: Any) -> NDArray[np.float64]:
        """Score in this process, whatever ``pool`` is: an array of what ``compute_score_single_gpu`` gives."""
        return np.asarray(self.compute_score_single_gpu(sentence_pairs, **kwargs), np.float64)

    def _ranked(self, query: str, passages: Texts, top_k: int | None, asked: Mapping[str, Any]) -> list[Ranked]:
        if not isinstance(query, str):
            raise TypeError(f"the query is {type(query).__name__}, not str")
        keep = None if top_k is None else whole_number("top_k", top_k, 1)
        texts = to_texts(passages, "passages")[0]
        scores = self.compute_score([(query, text) for text in texts], **asked)
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return [Ranked(place, scores[place]) for place in order[:keep]]

    def get_detailed_inputs(self, sentence_pairs: Pair | Pairs) -> list[list[str]]:
        """Return the pairs as lists of two, with the instructions applied."""
        pairs, _ = to_pairs(sentence_pairs)
        queries = [query for query, _ in pairs]
        passages = [passage for _, passage in pairs]
        queries = with_instruction(queries, self.query_instruction_for_rerank, self.query_instruction_format)
        passages = with_instruction(passages, self.passage_instruction_for_rerank, self.passage_instruction_format)
        return [[query, passage] for query, passage in zip(queries, passages, strict=True)]

    def _run_once(self, text: str, length: int) -> None:
        self.compute_score([("a", text)], max_length=length)

    def _outputs_at_start(self) -> Outputs:
        return ("logits",)

    def _check_options(self) -> None:
        instruction_template(self.query_instruction_format)
        instruction_template(self.passage_instruction_format)

    def _normalizes(self, normalize: bool | None) -> bool:
        return flag("normalize", self.normalize if normalize is None else normalize)

    def _check_limits(self) -> None:
        self._limits(None, None, None)

    def _limits(self, batch_size: int | None, query_max_length: int | None, max_length: int | None) -> dict[str, int]:
        length = self._usable_length("max_length", self.max_length if max_length is None else max_length)
        query_length = self.query_max_length if query_max_length is None else query_max_length
        return {
            "batch_size": whole_number("batch_size", self.batch_size if batch_size is None else batch_size, 1),
            "query_max_length": length * 3 // 4
            if query_length is None
            else whole_number("query_max_length", query_length, 0),
            "max_length": length,
        }


def as_floats(scores: NDArray[np.float32], normalize: bool) -> list[float]:
    """Scores as Python's numbers, mapped to 0 … 1 by the logistic function where that is asked for."""
    numbers = scores.astype(np.float64)
    if normalize:
        with np.errstate(over="ignore"):
            numbers = 1 / (1 + np.exp(-numbers))
    return [float(number) for number in numbers]
