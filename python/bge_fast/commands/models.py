"""``bge-fast models``: the checkpoints that are known by their names."""

from argparse import Namespace

from bge_fast import list_models
from bge_fast.commands import output
from bge_fast.known import KnownRow, known_model


def run(args: Namespace) -> int:
    """A line for each, embedders first; as JSON with the instructions that are known."""
    rows = list_models()
    if args.json:
        for row in rows:
            output.result(output.to_json({**row._asdict(), **_instructions(row.name)}))
        return 0
    header = [name.replace("_", " ") for name in KnownRow._fields]
    for line in output.aligned([header, *(["" if cell is None else str(cell) for cell in row] for row in rows)]):
        output.result(line)
    return 0


def _instructions(name: str) -> dict[str, str]:
    """What is put before texts, and how before queries; nothing for a reranker."""
    if (known := known_model(name)) is None:
        return {}
    return {
        "query_instruction": known.query_instruction,
        "query_format": known.query_format,
        "passage_instruction": known.passage_instruction,
    }
