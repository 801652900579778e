"""``bge-fast score``: a reranker's scores for training data."""

from argparse import Namespace
from itertools import islice

from bge_fast import add_reranker_scores
from bge_fast.commands import opening
from bge_fast.commands.rows import RowFile, written


def run(args: Namespace) -> int:
    """Score rows as they are read."""
    rows = RowFile(opening.named(args, "a file of rows", "input", "input_file"))
    model = opening.named(args, "a reranker", "model", "reranker_name_or_path")
    with opening.reranker(args, model) as reranker, written(args, [rows.file]) as (write, done):
        rest = islice(rows, done, None)
        for row in add_reranker_scores(reranker, rest, place=lambda number: rows.place(number + done)):
            write(row)
    return 0
