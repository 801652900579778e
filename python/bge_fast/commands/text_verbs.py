"""Arguments of the verbs that run a model on texts: ``embed``, ``search``, ``rerank``, ``compare``, ``bench``."""

from argparse import ArgumentParser
from collections.abc import Callable

from bge_fast.commands import options, values


def _embed(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.embed")
    verb.description = "Embed texts, one a line, and write one vector for each."
    options.add_model(verb)
    verb.add_argument("files", metavar="FILE", nargs="*", help=f"{options.FILES}; stdin without any")
    verb.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=values.target,
        help="out.npy, .npz, .jsonl or .parquet; else JSONL to stdout",
    )
    verb.add_argument("--dtype", choices=("float32", "float16", "int8"), default="float32", help="of .npy and Parquet")
    verb.add_argument("--resume", action="store_true", help="keep what an interrupted run wrote, and go on with it")
    options.add_field(verb)
    verb.add_argument("--query", action="store_true", help="the texts are queries: put the instruction before them")
    verb.add_argument("--sparse", action="store_true", help="also BGE-M3's lexical weights, as JSONL; alone as .npz")
    verb.add_argument("--colbert", action="store_true", help="also BGE-M3's vectors of every token, as JSONL")
    options.add_options(verb)
    return verb


def _search(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.search")
    verb.description = "Compare queries with all passages and print the closest."
    options.add_model(verb)
    verb.add_argument("queries", metavar="QUERY", nargs="*", help="queries; lines of stdin without any")
    verb.add_argument(
        "--passages", metavar="FILE", required=True, action="append", help=f"{options.FILES}; once a file"
    )
    verb.add_argument(
        "--vectors", metavar="X.npy", help="those of the passages, from `embed`; nothing is embedded again"
    )
    verb.add_argument("--rerank", metavar="MODEL", help="a reranker that sorts the best passages of each query again")
    verb.add_argument("--rerank-top-k", metavar="N", type=values.positive, default=100, help="how many of them (100)")
    verb.add_argument(
        "--top", metavar="N", type=values.positive, default=5, help="passages a query (default: %(default)s)"
    )
    verb.add_argument("--json", action="store_true", help="one JSON object a query")
    options.add_field(verb)
    options.add_options(verb)
    return verb


def _rerank(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.rerank")
    verb.description = "Score each passage for each query with a reranker and print the best."
    options.add_model(verb)
    verb.add_argument("queries", metavar="QUERY", nargs="*", help="queries; lines of stdin without any")
    passages = verb.add_mutually_exclusive_group(required=True)
    passages.add_argument("--passages", metavar="FILE", help=f"{options.FILES}; - for stdin")
    own = "instead: JSONL of query and passages, each query with its own; or what `search --json` wrote"
    passages.add_argument("--candidates", metavar="FILE", help=own)
    verb.add_argument("--top", metavar="N", type=values.positive, help="passages a query (default: all)")
    verb.add_argument("--normalize", action="store_true", help="scores from 0 to 1 instead of logits")
    options.add_layers(verb)
    verb.add_argument("--json", action="store_true", help="one JSON object a query")
    options.add_field(verb)
    options.add_device(verb)
    options.add_precision(verb)
    verb.add_argument(
        "--max-length", metavar="N", type=values.positive, default=512, help="tokens a pair (default: 512)"
    )
    verb.add_argument("--batch-size", metavar="N", type=values.positive, default=128, help="pairs a batch, at most")
    options.add_threads(verb)
    return verb


def _compare(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.compare", device="cpu", instruction=None)
    verb.description = "Compare a lower precision with fp32 on texts of your own, on the CPU: quality and speed."
    options.add_model(verb)
    verb.add_argument("files", metavar="FILE", nargs="+", help=f"{options.FILES}; - for stdin")
    verb.add_argument("--precision", choices=("bf16", "int8", "int4"), required=True, help="what is compared with fp32")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    options.add_field(verb)
    options.add_encoding(verb)
    return verb


def _bench(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.bench", instruction=None)
    verb.description = "Measure a model on this machine: one text at a time, many of each length, memory, threads."
    options.add_model(verb)
    verb.add_argument("--seconds", metavar="S", type=values.seconds, default=3.0, help="a measurement (default: 3)")
    lengths = "tokens of the texts; the first is that of single ones (default: 16 128 512)"
    verb.add_argument("--lengths", metavar="N", type=values.positive, nargs="+", default=[16, 128, 512], help=lengths)
    verb.add_argument("--compare-to", metavar="FILE", help="what --json wrote before: show ratios to it")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    options.add_device(verb)
    options.add_precision(verb)
    options.add_encoding(verb)
    return verb


VERBS: dict[str, tuple[str, Callable[[ArgumentParser], ArgumentParser]]] = {
    "embed": ("texts to vectors: .npy, .npz, JSONL or Parquet", _embed),
    "search": ("the passages closest to each query", _search),
    "rerank": ("passages sorted by a cross-encoder's score for a query", _rerank),
    "compare": ("what a lower precision changes for your texts, and how fast it is", _compare),
    "bench": ("how fast a model is on this machine", _bench),
}
