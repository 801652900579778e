"""``bge-fast rerank``: passages sorted by a reranker's score for one query."""

import shutil
from argparse import Namespace

from bge_fast.commands import output
from bge_fast.commands.defaults import open_reranker
from bge_fast.commands.progress import Run
from bge_fast.commands.texts import Text, TextReader
from bge_fast.models.reranker import Ranked


def run(args: Namespace) -> int:
    """Read all passages, score them, print the best."""
    progress = Run(TextReader([args.passages], args.field, args.format))
    passages = [passage for chunk in progress.chunks() for passage in chunk]
    reranker = open_reranker(
        args,
        use_fp16=True,
        normalize=args.normalize,
        cutoff_layers=args.cutoff_layers,
        compress_ratio=args.compress_ratio,
        compress_layers=args.compress_layers,
    )
    with reranker, progress.watched("pairs", reranker):
        best = reranker.rank(args.query, [passage.text for passage in passages], args.top)
    if args.json:
        _show_json(args.query, best, passages)
    else:
        _show_table(args.query, best, passages)
    return 0


def _show_json(query: str, best: list[Ranked], passages: list[Text]) -> None:
    results = [
        {"rank": rank, "score": score, "line": passages[place].line, "passage": passages[place].record}
        for rank, (place, score) in enumerate(best, start=1)
    ]
    output.result(output.to_json({"query": query, "results": results}))


def _show_table(query: str, best: list[Ranked], passages: list[Text]) -> None:
    width = shutil.get_terminal_size().columns
    output.result(output.fit(query, width))
    output.result("rank    score  passage")
    for rank, (place, score) in enumerate(best, start=1):
        output.result(f"{rank:>4}  {score:7.4f}  {output.fit(passages[place].text, max(width - 15, 10))}")
