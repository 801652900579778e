"""``bge-fast eval``: a model's ranking of collections with judgements, and a reranker's."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from bge_fast.commands import opening, output
from bge_fast.commands.foreign import InputError
from bge_fast.evaluation import Dataset, Report, evaluate, tree


def run(args: Namespace) -> int:
    """Evaluate each dataset and split, then write and print the table of all results in the output folder."""
    folder = opening.named(args, "a dataset", "dataset", "dataset_dir")
    names = args.dataset_names or [None]
    reranker = args.reranker_name_or_path and opening.reranker(args, args.reranker_name_or_path)
    with opening.embedder(args, needs_m3=args.mode != "dense") as model:
        for name in names:
            for split in args.splits:
                report = _evaluated(args, model, reranker, Dataset.read(folder, split, name))
                _note(report)
    figures = tree.all_figures(Path(args.output_dir))
    if absent := [metric for metric in args.eval_metrics if metric not in report.metrics]:
        raise InputError(f"there is no metric {absent[0]!r}; there are {', '.join(report.metrics)}")
    table = tree.table(figures, args.eval_metrics)
    as_json = args.eval_output_method == "json"
    target = Path(args.eval_output_path or ("eval_results.json" if as_json else "eval_results.md"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=4) if as_json else table, encoding="utf-8")
    output.result(table.rstrip("\n"))
    return 0


def _evaluated(args: Namespace, model: Any, reranker: Any, data: Dataset) -> Report:
    return evaluate(
        model,
        data,
        reranker=reranker,
        mode=args.mode,
        weights=args.weights,
        top_k=args.search_top_k,
        rerank_top_k=args.rerank_top_k,
        k_values=args.k_values,
        vectors=_vectors(args, model, data),
        ignore_identical_ids=args.ignore_identical_ids,
        output_dir=args.output_dir,
        overwrite=args.overwrite,
        eval_name=args.eval_name,
    )


def _vectors(args: Namespace, model: Any, data: Dataset) -> Path | None:
    """Where FlagEmbedding keeps the documents' vectors."""
    if args.corpus_embd_save_dir is None:
        return None
    folder = Path(args.corpus_embd_save_dir, Path(model.model_name_or_path).name)
    return folder / (data.name or "") / "doc.npy"


def _note(report: Report) -> None:
    names = report.results.names
    for one in (report.retrieved, report):
        if one:
            who = one.results.names.reranker_name
            figures = ", ".join(f"{name} {value:.5f}" for name, value in one.metrics.items() if name == "ndcg_at_10")
            output.note(f"{names.model_name}, {who}: {len(one.queries):,} queries of {names.key}; {figures}")
