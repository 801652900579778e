"""What rerankers share."""

from bge_fast.models.model import Model


class AbsReranker(Model):
    """Base of the rerankers, for ``isinstance`` checks. Open a model with a subclass."""
