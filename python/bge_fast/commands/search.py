"""``bge-fast search``: the passages closest to each query, by exact comparison with all of them."""

import shutil
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from bge_fast.commands import output
from bge_fast.commands.defaults import open_embedder, open_reranker
from bge_fast.commands.embed import vectors_of
from bge_fast.commands.foreign import InputError
from bge_fast.commands.progress import Count, Run
from bge_fast.commands.texts import STDIN, Text, TextReader
from bge_fast.search import Hits, Selection, top_k
from bge_fast.search.dense import open_vectors

Found = list[list[tuple[float, Text]]]
"""For each query the best passages, best first."""


def run(args: Namespace) -> int:
    """Read the passages once; hold one chunk of them, and the best ones, at a time."""
    if STDIN in args.passages and not args.queries:
        raise InputError("stdin cannot give both passages and queries; pass the queries as arguments")
    reader = TextReader(args.passages, args.field, args.format)
    queries = args.queries or [text.text for text in TextReader([])]
    found: Found = []
    if queries:
        most = max(args.top, args.rerank_top_k) if args.rerank else args.top
        with open_embedder(args, queries=True) as model:
            vectors = model.encode_queries(queries, show_progress_bar=False)
            find = _in_vectors if args.vectors else _in_passages
            found = find(args, model, vectors, reader, most)
    if args.rerank and queries:
        found = _reranked(args, queries, found)
    for query, best in zip(queries, found, strict=True):
        show = _show_json if args.json else _show_table
        show(args, query, best[: args.top])
    return 0


def _in_passages(args: Namespace, model: Any, queries: Any, reader: TextReader, most: int) -> Found:
    """Embed the passages chunk by chunk."""
    best, texts, start = Selection(len(queries), most), dict[int, Text](), 0
    progress = Run(reader)
    with progress.watched("passages", model):
        for chunk in progress.chunks():
            best.offer(queries @ vectors_of(model.encode_corpus, chunk).T, start)
            texts |= dict(enumerate(chunk, start=start))
            start += len(chunk)
            wanted = set(best.hits().ids.ravel().tolist())
            texts = {place: text for place, text in texts.items() if place in wanted}
    return _with_texts(best.hits(), texts)


def _in_vectors(args: Namespace, model: Any, queries: Any, reader: TextReader, most: int) -> Found:
    """Compare with vectors that are there, and read the passages for those of the hits."""
    vectors = open_vectors(args.vectors)
    compared = Count(lambda: len(vectors), "vector")
    with compared.watched():
        hits = top_k(queries, vectors, min(most, max(len(vectors), 1)), progress=compared)
    wanted, texts, count = set(hits.ids.ravel().tolist()), {}, 0
    for place, text in enumerate(reader):
        count += 1
        if place in wanted:
            texts[place] = text
    if count != len(vectors):
        raise InputError(
            f"{args.vectors} has {len(vectors):,} vectors, but there are {count:,} passages. Make it of the same "
            f"files in the same order: bge-fast embed {args.model} {' '.join(args.passages)} -o {args.vectors}"
        )
    return _with_texts(hits, texts)


def _with_texts(hits: Hits, texts: dict[int, Text]) -> Found:
    rows = zip(hits.scores.tolist(), hits.ids.tolist(), strict=True)
    return [[(score, texts[place]) for score, place in zip(*row, strict=True) if place >= 0] for row in rows]


def _reranked(args: Namespace, queries: Sequence[str], found: Found) -> Found:
    """The best passages by a reranker's scores."""
    given = Namespace(**{**vars(args), "model": args.rerank})
    with open_reranker(given, use_fp16=True) as reranker:
        return [
            [(score, best[place][1]) for place, score in reranker.rank(query, [text.text for _, text in best])]
            for query, best in zip(queries, (best[: args.rerank_top_k] for best in found), strict=True)
        ]


def _show_json(args: Namespace, query: str, best: list[tuple[float, Text]]) -> None:
    results = [
        {"rank": rank, "score": score, **_file_of(args, passage), "line": passage.line, "passage": passage.record}
        for rank, (score, passage) in enumerate(best, start=1)
    ]
    output.result(output.to_json({"query": query, "results": results}))


def _file_of(args: Namespace, passage: Text) -> dict[str, str]:
    """Where there are several the file that a passage is in."""
    return {"file": passage.place.rpartition(":")[0]} if len(args.passages) > 1 else {}


def _show_table(_args: Namespace, query: str, best: list[tuple[float, Text]]) -> None:
    for line in _table(query, best):
        output.result(line)


def _table(query: str, best: list[tuple[float, Text]]) -> Iterator[str]:
    width = shutil.get_terminal_size().columns
    yield output.fit(query, width)
    yield "rank   score  passage"
    for rank, (score, passage) in enumerate(best, start=1):
        yield f"{rank:>4}  {score:6.4f}  {output.fit(passage.text, max(width - 14, 10))}"
    yield ""
