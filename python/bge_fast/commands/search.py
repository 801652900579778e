"""``bge-fast search``: the passages closest to each query, by exact comparison with all of them."""

import shutil
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bge_fast.commands import output
from bge_fast.commands.defaults import open_embedder
from bge_fast.commands.embed import vectors_of
from bge_fast.commands.foreign import InputError
from bge_fast.commands.progress import Run
from bge_fast.commands.texts import STDIN, Text, TextReader
from bge_fast.models.shapes import Vector


@dataclass
class Best:
    """The best passages of one query so far, best first; of equal ones the earlier."""

    query: str
    top: int
    found: list[tuple[float, Text]] = field(default_factory=list)

    def offer(self, scores: Vector, passages: Sequence[Text]) -> None:
        """Take the next passages into account."""
        order = np.argsort(-scores, kind="stable")[: self.top]
        candidates = self.found + [(float(scores[index]), passages[index]) for index in order]
        self.found = sorted(candidates, key=lambda one: -one[0])[: self.top]


def run(args: Namespace) -> int:
    """Read the passages once; hold one chunk of them, and the best ones, at a time."""
    if args.passages == STDIN and not args.queries:
        raise InputError("stdin cannot give both passages and queries; pass the queries as arguments")
    reader = TextReader([args.passages], args.field, args.format)
    queries = args.queries or [text.text for text in TextReader([])]
    with open_embedder(args, queries=True) as model:
        vectors = model.encode_queries(queries, show_progress_bar=False)
        best = [Best(query, args.top) for query in queries]
        progress = Run(reader)
        with progress.watched("passages", model):
            for chunk in progress.chunks() if queries else ():
                scores = vectors @ vectors_of(model.encode_corpus, chunk).T
                for one, row in zip(best, scores, strict=True):
                    one.offer(row, chunk)
    for one in best:
        _show_json(one) if args.json else _show_table(one)
    return 0


def _show_json(best: Best) -> None:
    results = [
        {"rank": rank, "score": score, "line": passage.line, "passage": passage.record}
        for rank, (score, passage) in enumerate(best.found, start=1)
    ]
    output.result(output.to_json({"query": best.query, "results": results}))


def _show_table(best: Best) -> None:
    width = shutil.get_terminal_size().columns
    output.result(output.fit(best.query, width))
    output.result("rank   score  passage")
    for rank, (score, passage) in enumerate(best.found, start=1):
        output.result(f"{rank:>4}  {score:6.4f}  {output.fit(passage.text, max(width - 14, 10))}")
    output.result("")
