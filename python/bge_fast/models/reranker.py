"""What rerankers share: instructions of both sides, lengths, scores."""

from bge_fast.models.model import Model
from bge_fast.models.prompts import instruction_template
from bge_fast.opening.engine import Outputs


class AbsReranker(Model):
    """Base of the rerankers, for ``isinstance`` checks. Open a model with a subclass."""

    _kind = "reranker"
    query_instruction_for_rerank: str | None
    passage_instruction_for_rerank: str | None
    passage_instruction_format: str
    query_max_length: int | None
    max_length: int
    normalize: bool

    def _outputs_at_start(self) -> Outputs:
        return ("logits",)

    def _check_options(self) -> None:
        instruction_template(self.query_instruction_format)
        instruction_template(self.passage_instruction_format)
