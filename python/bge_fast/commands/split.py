"""``bge-fast split``: training data by the length of its texts."""

import json
from argparse import Namespace
from contextlib import ExitStack
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

from bge_fast import _core
from bge_fast.commands import opening, output
from bge_fast.commands.defaults import locate
from bge_fast.commands.foreign import InputError
from bge_fast.commands.replacing import replacing
from bge_fast.commands.rows import RowFile
from bge_fast.mining.lengths import Range, range_of, ranges, with_lengths
from bge_fast.models.tokenizer import Tokenizer


def run(args: Namespace) -> int:
    """Sort the rows of each file; a line of the log a file."""
    source = Path(opening.named(args, "a file of rows", "input", "input_path"))
    folder = Path(opening.named(args, "a folder for the parts with -o", "output_dir"))
    model = args.model or args.model_name_or_path or "BAAI/bge-m3"
    bounds = ranges(args.length_list)
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(source.glob("*.jsonl")) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source} has no files that end in .jsonl")
    found = locate(model, "cpu")
    tokenizer = Tokenizer(_core.Tokenizer(str(found.folder)), found.max_length, model)
    for file in files:
        if args.overwrite or not any(folder.glob(f"{file.stem}_len-*.jsonl")):
            _log(folder / args.log_name, _split(tokenizer, file, folder, bounds))
        else:
            output.note(f"the parts of {file} are there; --overwrite makes them again")
    return 0


def _split(tokenizer: Tokenizer, file: Path, folder: Path, bounds: list[Range]) -> dict[str, Any]:
    """Write the parts of a file that have rows; says what was done as FlagEmbedding's log does."""
    started, lengths = _now(), []
    counts = dict.fromkeys(bounds, 0)
    with ExitStack() as opened:
        parts: dict[Range, BinaryIO] = {}
        rows = RowFile(str(file))
        for row, length in with_lengths(tokenizer, rows, rows.place):
            lengths.append(length)
            if (part := range_of(length, bounds)) is None:
                continue
            if part not in parts:
                parts[part] = opened.enter_context(replacing(folder / f"{file.stem}_{_named(part)}.jsonl"))
            parts[part].write(output.to_json(row).encode("utf-8", "backslashreplace") + b"\n")
            counts[part] += 1
    return {
        "file_name": file.name,
        "size": len(lengths),
        "avg_length": sum(lengths) / max(len(lengths), 1),
        "file_path": str(file),
        "start_time": started,
        "end_time": _now(),
        "split_info": {_named(part): count for part, count in counts.items() if count},
    }


def _named(part: Range) -> str:
    low, high = part
    return f"len-{low}-{'inf' if high == inf else high}"


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _log(file: Path, done: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(done, ensure_ascii=False) + "\n")
