"""One evaluation: retrieve, rerank, compare with the judgements; what is there already is taken from its files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bge_fast.evaluation import tree
from bge_fast.evaluation.dataset import Dataset
from bge_fast.evaluation.metrics import K_VALUES, metrics, per_query
from bge_fast.evaluation.retrieval import Results, rerank, retrieve


@dataclass(frozen=True)
class Report:
    """What an evaluation found."""

    results: tree.Named
    """The ranking, with the names it is filed under."""
    metrics: dict[str, float]
    """Means over the queries, such as ``ndcg_at_10``."""
    queries: dict[str, dict[str, float]]
    """The same of each query."""
    retrieved: "Report | None" = None
    """Of a reranked one the report of what was reranked."""

    @property
    def run(self) -> Results:
        """Query id → document id → score: what trec's tools take."""
        return self.results.results

    def save(self, output_dir: str | os.PathLike[str]) -> None:
        """Write FlagEmbedding's files: rankings and figures, also of what was reranked."""
        if self.retrieved:
            self.retrieved.save(output_dir)
        self.results.write(Path(output_dir))
        tree.add_figures(self.results.folder(Path(output_dir)), self.results.key, self.metrics)


def evaluate(
    model: Any,
    dataset: Dataset | str | os.PathLike[str],
    *,
    reranker: Any = None,
    split: str = "test",
    mode: str = "dense",
    weights: Sequence[float] = (1.0, 1.0, 1.0),
    top_k: int = 1000,
    rerank_top_k: int = 100,
    k_values: Sequence[int] = K_VALUES,
    vectors: str | os.PathLike[str] | None = None,
    ignore_identical_ids: bool = False,
    output_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    eval_name: str = "custom",
) -> Report:
    """Evaluate a model's ranking of a dataset's documents, and a reranker's of its first ones.

    Args:
        dataset: a folder of FlagEmbedding's or BEIR's layout, or one that was read.
        mode: which of BGE-M3's scores: ``dense``, ``sparse``, ``colbert``, ``sparse+dense``, ``colbert+sparse+dense``.
            Multi-vectors are compared for the ``rerank_top_k`` best without them.
        top_k: documents that are retrieved for a query.
        vectors: an ``.npy`` file that the documents' dense vectors are kept in, and taken from the next time.
        ignore_identical_ids: leave out documents that have the query's id.
        output_dir: results are saved there, and taken from there where they are not to be overwritten.
        eval_name: what the files call the evaluation.

    Returns:
        The report; with a reranker that of the reranked documents, whose ``retrieved`` is the other one.
    """
    data = dataset if isinstance(dataset, Dataset) else Dataset.read(dataset, split)
    names = tree.Names(eval_name, _name_of(model, mode), tree.NO_RERANKER, data.split, data.name)
    kept = None if output_dir is None or overwrite else Path(output_dir)
    found = tree.read(kept, names) if kept else None
    if found is None:
        found = retrieve(model, data, mode=mode, k=top_k, pool=rerank_top_k, vectors=vectors, weights=weights)
        found = _without_identical(found) if ignore_identical_ids else found
    report = _report(data, names, found, k_values)
    if reranker is not None:
        names = names.of_reranker(_name_of(reranker))
        again = tree.read(kept, names) if kept else None
        again = rerank(reranker, data, report.run, rerank_top_k) if again is None else again
        report = _report(data, names, again, k_values, report)
    if output_dir is not None:
        report.save(output_dir)
    return report


def _report(
    data: Dataset, names: tree.Names, run: Results, k_values: Sequence[int], retrieved: Report | None = None
) -> Report:
    figures, queries = metrics(data.qrels, run, k_values), per_query(data.qrels, run, k_values)
    return Report(tree.Named(names, run), figures, queries, retrieved)


def _name_of(model: Any, mode: str = "dense") -> str:
    """As FlagEmbedding names its folders; scores other than dense ones are told apart."""
    name = os.path.basename(str(model.model_name_or_path).rstrip("/"))
    return name if mode == "dense" else f"{name}-{mode}"


def _without_identical(run: Results) -> Results:
    return {query: {key: score for key, score in scores.items() if key != query} for query, scores in run.items()}
