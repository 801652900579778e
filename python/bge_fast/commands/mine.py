"""``bge-fast mine``: hard negatives for training data."""

from argparse import Namespace
from collections.abc import Iterable

from bge_fast import mine_hard_negatives
from bge_fast.commands import opening, output
from bge_fast.commands.progress import Count
from bge_fast.commands.rows import RowFile, written
from bge_fast.commands.texts import TextReader
from bge_fast.models.progress import on_terminal


def run(args: Namespace) -> int:
    """Encode the pool, then search and write window by window."""
    rows = RowFile(opening.named(args, "a file of rows", "input", "input_file"))
    pool: Iterable[str] | None = None
    if args.candidate_pool:
        pool = (text.text for text in TextReader([args.candidate_pool]))
    sources = [rows.file, *([args.candidate_pool] if args.candidate_pool else [])]
    reranker = opening.reranker(args, args.reranker_name_or_path) if args.reranker_name_or_path else None
    counted = Count(rows.expected, "row")
    with opening.embedder(args) as model, written(args, sources) as (write, done):
        mined = mine_hard_negatives(
            model,
            rows,
            pool=pool,
            range=args.range_for_sampling,
            negatives=args.negative_number,
            seed=args.seed,
            margin=args.margin,
            relative_margin=args.relative_margin,
            max_score=args.max_score,
            reranker=reranker,
            vectors=args.vectors,
            progress=_show if on_terminal() else None,
            # With a reranker most of the time goes by behind the search.
            searched=None if reranker else counted,
            place=rows.place,
            start=done,
        )
        with counted.watched():
            for number, row in enumerate(mined, start=done + 1):
                write(row)
                if reranker:
                    counted(number)
    return 0


def _show(encoded: int) -> None:
    output.note(f"{encoded:,} passages of the pool are encoded")
