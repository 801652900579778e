"""The command `bge-fast-export`, also `python -m bge_fast_export`."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from bge_fast_export import __version__
from bge_fast_export.encoder import MIN_LENGTH
from bge_fast_export.errors import ExportError
from bge_fast_export.export import PRECISIONS, Options, export
from bge_fast_export.graph import DEFAULT_OPSET, OPSETS
from bge_fast_export.kinds import AUTO, CHOICES

PROGRAM = "bge-fast-export"

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one export: the folder's path goes to stdout, all else to stderr; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    # ONNX Runtime's published builds upload usage data unless this is set before they start.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    options = Options(
        checkpoint=parsed.checkpoint,
        output=parsed.output,
        precisions=parsed.precision,
        kind=parsed.kind,
        revision=parsed.revision,
        max_length=parsed.max_length,
        opset=parsed.opset,
        overwrite=parsed.overwrite,
        verbose=parsed.debug,
    )
    try:
        folder = export(options, _report)
    except KeyboardInterrupt:
        _report("interrupted; nothing was left behind")
        return EXIT_INTERRUPTED
    except Exception as error:
        if parsed.debug:
            traceback.print_exc()
        _report(f"error: {_message(error)}")
        return EXIT_FAILED
    _report("Done")
    print(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Write the model folder that bge-fast runs.")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder with a checkpoint, or a hub id")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="the model folder to write")
    parser.add_argument(
        "--precision",
        metavar="LIST",
        type=_precisions,
        default=PRECISIONS,
        help="graphs to write, with commas: fp32 for CPU, fp16 for CUDA (default: %(default)s)",
    )
    parser.add_argument("--kind", choices=CHOICES, default=AUTO, help="what the checkpoint is (default: %(default)s)")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of a hub id")
    parser.add_argument("--max-length", metavar="N", type=_length, help="most tokens of one text, if fewer than can be")
    parser.add_argument(
        "--opset",
        metavar="N",
        type=int,
        choices=OPSETS,
        default=DEFAULT_OPSET,
        help=f"ONNX opset, {OPSETS[0]} to {OPSETS[-1]} (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if it is there")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and the tools' own messages")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _precisions(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if len(set(names)) != len(names) or not set(names) <= set(PRECISIONS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list out of {', '.join(PRECISIONS)}")
    return tuple(name for name in PRECISIONS if name in names)


def _length(text: str) -> int:
    if not text.isdecimal() or int(text) < MIN_LENGTH:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {MIN_LENGTH} or more")
    return int(text)


def _message(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ExportError):
        return text
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {text[:300]} (--debug shows more)"


def _report(line: str) -> None:
    print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
