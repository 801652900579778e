"""``bge-fast rerank``: passages sorted by a reranker's score, the same for every query or each query's own."""

import shutil
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from bge_fast.commands import candidates, output
from bge_fast.commands.candidates import Candidate
from bge_fast.commands.defaults import open_reranker
from bge_fast.commands.foreign import InputError
from bge_fast.commands.progress import Count, Run
from bge_fast.commands.texts import STDIN, TextReader

Ranking = list[tuple[float, Candidate]]
"""Passages of one query, best first, with their scores."""


def run(args: Namespace) -> int:
    """Score all pairs, print the best of each query."""
    if args.candidates and args.queries:
        raise InputError("with --candidates the queries are in the file; leave QUERY out")
    reranked = _own_passages(args) if args.candidates else _same_passages(args)
    for number, (record, ranking) in enumerate(reranked):
        if args.json:
            _show_json(record, ranking[: args.top])
        else:
            _show_table(record["query"], ranking[: args.top], after_another=number > 0)
    return 0


def _same_passages(args: Namespace) -> list[tuple[dict[str, Any], Ranking]]:
    """Every query with all passages, which are held."""
    if args.passages == STDIN and not args.queries:
        raise InputError("stdin cannot give both passages and queries; pass the queries as arguments")
    progress = Run(TextReader([args.passages], args.field, args.format))
    passages = [
        Candidate(one.text, {"line": one.line, "passage": one.record}) for chunk in progress.chunks() for one in chunk
    ]
    queries = args.queries or [text.text for text in TextReader([])]
    with _opened(args) as reranker, progress.watched("pairs", reranker, times=len(queries)):
        return [({"query": query}, _ranked(reranker, [(query, passages)])[0][: args.top]) for query in queries]


def _own_passages(args: Namespace) -> Iterator[tuple[dict[str, Any], Ranking]]:
    """Each query with the passages beside it; some rows are held at a time."""
    reader, read = TextReader([args.candidates], "query", args.format), 0
    counted = Count(lambda: reader.expected(read), "query")
    with _opened(args) as reranker, counted.watched():
        for rows in candidates.windows(candidates.rows(reader, args.field)):
            read += len(rows)
            rankings = _ranked(reranker, [(row.query, row.passages) for row in rows])
            counted(read)
            yield from zip((row.record for row in rows), rankings, strict=True)


def _ranked(reranker: Any, rows: Sequence[tuple[str, Sequence[Candidate]]]) -> list[Ranking]:
    """The passages of some queries, whose pairs are scored in one call."""
    pairs = [(query, passage.text) for query, passages in rows for passage in passages]
    scores = iter(reranker.compute_score(pairs, show_progress_bar=False) if pairs else ())
    return [
        sorted(((next(scores), passage) for passage in passages), key=lambda scored: -scored[0]) for _, passages in rows
    ]


def _opened(args: Namespace) -> Any:
    return open_reranker(
        args,
        use_fp16=True,
        normalize=args.normalize,
        cutoff_layers=args.cutoff_layers,
        compress_ratio=args.compress_ratio,
        compress_layers=args.compress_layers,
    )


def _show_json(record: dict[str, Any], ranking: Ranking) -> None:
    results = [
        {"rank": rank, "score": score, **passage.record} for rank, (score, passage) in enumerate(ranking, start=1)
    ]
    output.result(output.to_json({**record, "results": results}))


def _show_table(query: str, ranking: Ranking, after_another: bool) -> None:
    width = shutil.get_terminal_size().columns
    if after_another:
        output.result("")
    output.result(output.fit(query, width))
    output.result("rank    score  passage")
    for rank, (score, passage) in enumerate(ranking, start=1):
        output.result(f"{rank:>4}  {score:7.4f}  {output.fit(passage.text, max(width - 15, 10))}")
