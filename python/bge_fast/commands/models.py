"""``bge-fast models``: the checkpoints that are known by their names."""

from argparse import Namespace
from typing import Any

from bge_fast.commands import output
from bge_fast.known import KNOWN_MODELS, RERANKERS

_COLUMNS = ("name", "kind", "model_class", "pooling")


def run(args: Namespace) -> int:
    """A line for each, embedders first; as JSON with all that is known."""
    rows = known()
    if args.json:
        for row in rows:
            output.result(output.to_json(row))
        return 0
    header = [name.replace("_", " ") for name in _COLUMNS]
    for line in output.aligned([header, *([str(row[name] or "") for name in _COLUMNS] for row in rows)]):
        output.result(line)
    return 0


def known() -> list[dict[str, Any]]:
    """What the table of known checkpoints says of each."""
    embedders = [
        {
            "name": name,
            "kind": "m3" if row.model_class == "BGEM3FlagModel" else "embedder",
            "model_class": row.model_class,
            "pooling": row.pooling,
            "query_instruction": row.query_instruction or None,
            "query_format": row.query_format,
            "passage_instruction": row.passage_instruction or None,
        }
        for name, row in KNOWN_MODELS.items()
    ]
    rerankers = [
        {"name": name, "kind": "reranker", "model_class": row.model_class, "pooling": None}
        for name, row in RERANKERS.items()
    ]
    return embedders + rerankers
