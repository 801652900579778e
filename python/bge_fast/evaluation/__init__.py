"""How well a model ranks a collection with judgements: retrieval, reranking and the figures of trec_eval."""

from bge_fast.evaluation.dataset import Dataset as Dataset
from bge_fast.evaluation.evaluate import Report as Report
from bge_fast.evaluation.evaluate import evaluate as evaluate
from bge_fast.evaluation.metrics import metrics as metrics
from bge_fast.evaluation.metrics import per_query as per_query

__all__ = ["Dataset", "Report", "evaluate", "metrics", "per_query"]
