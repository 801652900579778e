"""The command ``bge-fast``: arguments, exit status, and one line for what went wrong."""

import argparse
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import NoReturn

from bge_fast.commands import merging_verbs, output, toolkit, values

FAILED = 1
INTERRUPTED = 130
_FILES = "lines of text, JSONL, JSON, CSV or TSV, also in gzip"
# Those of formats.py, which would be imported for nothing here.
_FORMATS = ("lines", "jsonl", "json", "csv", "tsv")
_TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 failed, 2 wrong usage, 3 ``doctor`` found an error, 130 interrupted.
    """
    output.set_up()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with _stoppable(), _warnings_in_one_line():
            status = _run(words)
            output.flush()
        return status
    except SystemExit as error:  # argparse ends this way, after it wrote its message
        return error.code if isinstance(error.code, int) else 0
    except BrokenPipeError:
        output.discard_results()
        return 0
    except KeyboardInterrupt:
        output.note("interrupted")
        return INTERRUPTED
    except Exception as error:
        if "--debug" in words:
            output.show_traceback()
        output.note(f"error: {str(error) or type(error).__name__}")
        return FAILED


def _run(words: list[str]) -> int:
    parser, verbs = _parsers()
    if not words or words[0] not in verbs:
        parser.parse_args(words)  # --version, --help, or wrong usage; all of them end here
    # Plain parse_args would take no more positionals after the first option.
    given = toolkit.as_typed_here(words[1:]) if words[0] in toolkit.VERBS else words[1:]
    args = verbs[words[0]].parse_intermixed_args(given)
    return int(import_module(args.room).run(args))


class _Version(argparse.Action):
    """Reads the version of the installed package when it is asked for: that takes longer than all else at the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from bge_fast import __version__

        print(parser.prog, __version__)
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Repeats of wrong words only as much as a line holds."""

    def error(self, message: str) -> NoReturn:
        super().error(output.shortened(message))


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(prog=output.PROGRAM, description="BGE embeddings on ONNX Runtime.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    add = parser.add_subparsers(metavar="VERB", dest="verb", required=True).add_parser
    verbs = {
        "embed": _embed(add("embed", help="texts to vectors: .npy or JSONL")),
        "search": _search(add("search", help="the passages closest to each query")),
        "rerank": _rerank(add("rerank", help="passages sorted by a cross-encoder's score for a query")),
        "compare": _compare(add("compare", help="what a lower precision changes for your texts, and how fast it is")),
        **{name: fill(add(name, help=what)) for name, (what, fill) in toolkit.VERBS.items()},
        **{name: fill(add(name, help=what)) for name, (what, fill) in merging_verbs.VERBS.items()},
        "info": _info(add("info", help="what is known about a model")),
        "doctor": _doctor(add("doctor", help="what works on this machine, and how to repair what does not")),
    }
    for verb in verbs.values():
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser, verbs


def _embed(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.embed")
    verb.description = "Embed texts, one a line, and write one vector for each."
    _add_model(verb)
    verb.add_argument("files", metavar="FILE", nargs="*", help=f"{_FILES}; stdin without any")
    verb.add_argument(
        "-o", "--output", metavar="OUT", type=values.target, help="out.npy or out.jsonl; else JSONL to stdout"
    )
    _add_field(verb)
    verb.add_argument("--query", action="store_true", help="the texts are queries: put the instruction before them")
    verb.add_argument("--sparse", action="store_true", help="also BGE-M3's lexical weights, as JSONL")
    verb.add_argument("--colbert", action="store_true", help="also BGE-M3's vectors of every token, as JSONL")
    _add_options(verb)
    return verb


def _search(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.search")
    verb.description = "Compare queries with all passages and print the closest."
    _add_model(verb)
    verb.add_argument("queries", metavar="QUERY", nargs="*", help="queries; lines of stdin without any")
    verb.add_argument("--passages", metavar="FILE", required=True, action="append", help=f"{_FILES}; once a file")
    verb.add_argument(
        "--vectors", metavar="X.npy", help="those of the passages, from `embed`; nothing is embedded again"
    )
    verb.add_argument("--rerank", metavar="MODEL", help="a reranker that sorts the best passages of each query again")
    verb.add_argument("--rerank-top-k", metavar="N", type=values.positive, default=100, help="how many of them (100)")
    verb.add_argument(
        "--top", metavar="N", type=values.positive, default=5, help="passages a query (default: %(default)s)"
    )
    verb.add_argument("--json", action="store_true", help="one JSON object a query")
    _add_field(verb)
    _add_options(verb)
    return verb


def _rerank(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.rerank")
    verb.description = "Score each passage for a query with a cross-encoder and print the best."
    _add_model(verb)
    verb.add_argument("query", metavar="QUERY", help="one query")
    verb.add_argument("--passages", metavar="FILE", required=True, help=f"{_FILES}; - for stdin")
    verb.add_argument("--top", metavar="N", type=values.positive, help="passages to print (default: all)")
    verb.add_argument("--normalize", action="store_true", help="scores from 0 to 1 instead of logits")
    _add_layers(verb)
    verb.add_argument("--json", action="store_true", help="one JSON object")
    _add_field(verb)
    _add_device(verb)
    _add_precision(verb)
    verb.add_argument(
        "--max-length", metavar="N", type=values.positive, default=512, help="tokens a pair (default: 512)"
    )
    verb.add_argument("--batch-size", metavar="N", type=values.positive, default=128, help="pairs a batch, at most")
    _add_threads(verb)
    return verb


def _add_layers(verb: argparse.ArgumentParser) -> None:
    layers = "of layerwise and lightweight rerankers: the layer to score after (default: the last)"
    verb.add_argument("--cutoff-layers", metavar="N", type=values.positive, help=layers)
    verb.add_argument(
        "--compress-ratio", metavar="N", type=values.positive, help="of lightweight ones: tokens made one"
    )
    layers = "the layers before which that is done (default: 8)"
    verb.add_argument("--compress-layers", metavar="N", type=values.positive, nargs="+", help=layers)


def _compare(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.compare", device="cpu", instruction=None)
    verb.description = "Compare a lower precision with fp32 on texts of your own, on the CPU: quality and speed."
    _add_model(verb)
    verb.add_argument("files", metavar="FILE", nargs="+", help=f"{_FILES}; - for stdin")
    verb.add_argument("--precision", choices=("bf16", "int8", "int4"), required=True, help="what is compared with fp32")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    _add_field(verb)
    _add_encoding(verb)
    return verb


def _info(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.info")
    verb.description = "Show what a model's files say, without opening it."
    _add_model(verb)
    verb.add_argument("--download", action="store_true", help="fetch what is missing in the cache")
    verb.add_argument("--verify", action="store_true", help="compare the sha256 of every file with the manifest")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    _add_device(verb)
    _add_precision(verb)
    return verb


def _doctor(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.doctor.doctor")
    verb.description = "Check this machine and installation. Needs no model and no network; exit status 3 on an error."
    verb.add_argument("model", metavar="MODEL", nargs="?", help="also check this model and run it")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    _add_device(verb)
    return verb


def _add_model(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL", help="a folder, or a hub id such as BAAI/bge-small-en-v1.5")


def _add_field(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--field", metavar="NAME", help="the field of JSON or column of a table (default: text)")
    verb.add_argument("--format", choices=_FORMATS, help="default: by the file's name and its first line")


def _add_device(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--device", metavar="D", type=values.device, help="cpu, cuda, cuda:0 … (default: the best there is)"
    )


def _add_precision(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8", "int4"),
        help="default: fp32, on CUDA fp16 where there is a graph of it; bf16, int8 and (decoders) int4 are for the CPU",
    )


def _add_options(verb: argparse.ArgumentParser) -> None:
    _add_device(verb)
    _add_precision(verb)
    verb.add_argument("--instruction", metavar="TEXT", help='before each query; "" for none (default: as recommended)')
    _add_encoding(verb)


def _add_encoding(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--pooling",
        choices=("cls", "mean", "last_token"),
        help="default: as the checkpoint was trained; last_token is for BGE-M3 alone",
    )
    verb.add_argument(
        "--max-length", metavar="N", type=values.positive, default=512, help="tokens a text (default: 512)"
    )
    verb.add_argument("--batch-size", metavar="N", type=values.positive, default=256, help="texts a batch, at most")
    verb.add_argument("--dense", action="store_true", help="apply the linear layers of 2_Dense behind the pooling")
    verb.add_argument("--truncate-dim", metavar="N", type=values.positive, help="keep the first N components")
    _add_threads(verb)


def _add_threads(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--threads", metavar="N", type=values.positive, help="CPU threads (default: all that may be used)"
    )


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM unwinds the stack, so that what is half-written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[[int, FrameType | None], object] | int | None = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_TERMINATED)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_place, **_more: output.note(f"warning: {message}")
        yield
