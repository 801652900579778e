"""What models give, as lists of Python's own numbers, which frameworks want."""

from collections.abc import Iterable, Sequence
from typing import Any

from bge_fast import BGEM3FlagModel, Ranked
from bge_fast.search.encoders import dense_passages, dense_queries, texts_of

Weights = tuple[list[int], list[float]]
"""Token ids of a text, each once, and their lexical weights."""


def query_vector(model: Any, text: str) -> list[float]:
    """The vector of a query, with the model's query instruction; of BGE-M3 the dense one."""
    (vector,) = dense_queries(model, [text], show_progress_bar=False).tolist()
    return list(vector)


def passage_vectors(model: Any, texts: Iterable[str]) -> list[list[float]]:
    """The vectors of passages, with the model's passage instruction; no texts do not touch the model."""
    listed = texts_of(texts)
    return list(dense_passages(model, listed, show_progress_bar=False).tolist()) if listed else []


def query_weights(model: BGEM3FlagModel, text: str) -> Weights:
    """The lexical weights of a query."""
    (weights,) = _weights(model, [text], query=True)
    return weights


def passage_weights(model: BGEM3FlagModel, texts: Iterable[str]) -> list[Weights]:
    """The lexical weights of passages; no texts do not touch the model."""
    listed = texts_of(texts)
    return _weights(model, listed, query=False) if listed else []


def ranked(model: Any, query: str, passages: Iterable[str], top: int | None) -> list[Ranked]:
    """Positions and scores of the best passages, best first; no passages do not touch the model."""
    listed = texts_of(passages, "passages")
    return list(model.rank(query, listed, top, show_progress_bar=False)) if listed else []


def scores_of(model: Any, pairs: Sequence[tuple[str, str]], **options: Any) -> list[float]:
    """The score of each pair of query and passage; no pairs do not touch the model.

    Args:
        **options: of ``compute_score``; no bar is shown unless they say so.

    Raises:
        ValueError: the model scores after several layers.
    """
    scores = list(model.compute_score(pairs, **{"show_progress_bar": False, **options})) if len(pairs) else []
    if scores and isinstance(scores[0], list):
        raise ValueError(f"{model!r} scores after {len(scores)} layers; set cutoff_layers to one of them")
    return scores


def _weights(model: BGEM3FlagModel, texts: list[str], query: bool) -> list[Weights]:
    rows: Any = model.encode_vectors(texts, dense=False, query=query, show_progress_bar=False).sparse
    return [(ids.tolist(), weights.tolist()) for ids, weights in rows]
