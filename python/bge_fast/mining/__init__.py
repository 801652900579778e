"""Training data in FlagEmbedding's form: hard negatives, teacher scores, and parts of like length."""

from bge_fast.mining.lengths import split_by_length as split_by_length
from bge_fast.mining.negatives import mine_hard_negatives as mine_hard_negatives
from bge_fast.mining.scores import add_reranker_scores as add_reranker_scores

__all__ = ["add_reranker_scores", "mine_hard_negatives", "split_by_length"]
