"""Arguments of the verbs around a model: ``eval``, ``mine``, ``score``, ``split``, under FlagEmbedding's names."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence

from bge_fast.commands import values

# Kept so that commands for FlagEmbedding run; there is nothing for them to change here.
_EMBEDDER_CLASSES = ("encoder-only-base", "encoder-only-m3", "decoder-only-base")
_MODES = ("dense", "sparse", "colbert", "sparse+dense", "colbert+sparse+dense")


def as_typed_here(words: Sequence[str]) -> list[str]:
    """Options with dashes; FlagEmbedding's scripts write them with underscores."""
    return [_dashed(word) if word.startswith("--") else word for word in words]


def _dashed(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _eval(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.evaluate")
    verb.description = "Retrieve a dataset's documents for its queries, rerank them, and compare with the judgements."
    verb.add_argument("model", metavar="MODEL", nargs="?", help="an embedder: a folder or a hub id")
    verb.add_argument("dataset", metavar="DATASET", nargs="?", help="a folder of FlagEmbedding's or BEIR's layout")
    verb.add_argument("--dataset-dir", metavar="DATASET", help="the same")
    verb.add_argument("--dataset-names", metavar="NAME", nargs="+", help="folders in it that are datasets of their own")
    verb.add_argument("--splits", metavar="SPLIT", nargs="+", default=["test"], help="default: test")
    verb.add_argument("--mode", choices=_MODES, default="dense", help="which of BGE-M3's scores (default: dense)")
    verb.add_argument(
        "--weights", metavar="W", type=float, nargs=3, default=[1, 1, 1], help="of dense, sparse, colbert"
    )
    verb.add_argument(
        "--search-top-k", metavar="N", type=values.positive, default=1000, help="documents a query (1000)"
    )
    verb.add_argument("--rerank-top-k", metavar="N", type=values.positive, default=100, help="of them reranked (100)")
    verb.add_argument("--k-values", metavar="K", type=values.positive, nargs="+", default=[1, 3, 5, 10, 100, 1000])
    verb.add_argument("--eval-name", metavar="NAME", default="custom", help="what files call it (default: custom)")
    verb.add_argument("--output-dir", metavar="DIR", default="search_results", help="default: search_results")
    verb.add_argument("--eval-output-path", metavar="FILE", help="default: eval_results.md or .json")
    verb.add_argument("--eval-output-method", choices=("markdown", "json"), default="markdown")
    verb.add_argument("--eval-metrics", metavar="METRIC", nargs="+", default=["ndcg_at_10", "recall_at_10"])
    verb.add_argument("--corpus-embd-save-dir", metavar="DIR", help="keep the documents' vectors, and go on from them")
    _add_truth(verb, "--overwrite", False, "compute again what is in the output folder")
    _add_truth(verb, "--ignore-identical-ids", False, "leave out documents that have the query's id")
    _add_embedder(verb, prefix="embedder-")
    _add_reranker(verb)
    _add_without_effect(verb, "--cache-path", "--token", "--force-redownload", "--domain-for-pseudo-moe")
    return verb


def _mine(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.mine")
    verb.description = "Give each row of training data negatives that the embedder ranks high."
    verb.add_argument("model", metavar="MODEL", nargs="?", help="an embedder: a folder or a hub id")
    _add_rows(verb)
    verb.add_argument("--candidate-pool", metavar="FILE", help="passages to draw from (default: those of the rows)")
    verb.add_argument("--range-for-sampling", metavar="A-B", type=values.numbers, default=(10, 210), help="10-210")
    verb.add_argument("--negative-number", metavar="N", type=values.positive, default=15, help="a row (default: 15)")
    verb.add_argument("--seed", metavar="N", type=int, default=0, help="of the draw (default: 0)")
    verb.add_argument("--margin", metavar="X", type=float, help="how far below the lowest positive's score, at least")
    verb.add_argument("--relative-margin", metavar="X", type=float, help="the same as a share of that score")
    verb.add_argument("--max-score", metavar="X", type=float, help="the highest score of a negative")
    verb.add_argument("--vectors", metavar="FILE", help="keep the pool's vectors in this .npy, and go on from them")
    _add_embedder(verb, prefix="")
    _add_reranker(verb)
    _add_without_effect(verb, "--use-gpu-for-searching", "--search-batch-size")
    return verb


def _score(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.score")
    verb.description = "Give each row of training data a reranker's scores of its positives and negatives."
    verb.add_argument("model", metavar="MODEL", nargs="?", help="a reranker: a folder or a hub id")
    _add_rows(verb)
    _add_reranker(verb)
    _add_running(verb)
    _add_without_effect(verb, "--cache-dir", "--trust-remote-code")
    return verb


def _split(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.split")
    verb.description = "Sort rows of training data into files by the tokens of their longest text."
    verb.add_argument("model", metavar="MODEL", nargs="?", help="whose tokens: a folder or a hub id (BAAI/bge-m3)")
    verb.add_argument("input", metavar="FILE", nargs="?", help="JSONL, or a folder of such files")
    verb.add_argument("--model-name-or-path", metavar="MODEL", help="the same")
    verb.add_argument("--input-path", metavar="FILE", help="the same")
    verb.add_argument("-o", "--output-dir", metavar="DIR", help="where the parts go")
    bounds = [0, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000]
    verb.add_argument("--length-list", metavar="N", type=int, nargs="+", default=bounds, help="0 500 1000 … 7000")
    verb.add_argument("--log-name", metavar="NAME", default=".split_log", help="default: .split_log")
    _add_truth(verb, "--overwrite", False, "write files that are there again")
    _add_without_effect(verb, "--num-proc", "--cache-dir")
    return verb


def _add_rows(verb: ArgumentParser) -> None:
    verb.add_argument("input", metavar="FILE", nargs="?", help="JSONL with query, pos and neg; - for stdin")
    verb.add_argument("--input-file", metavar="FILE", help="the same")
    verb.add_argument("-o", "--output-file", metavar="OUT", help="JSONL; to stdout without any")


def _add_embedder(verb: ArgumentParser, prefix: str) -> None:
    verb.add_argument("--embedder-name-or-path", metavar="MODEL", help="the embedder, if not MODEL")
    verb.add_argument("--embedder-model-class", choices=_EMBEDDER_CLASSES, help="default: by the model's files")
    _add_truth(verb, "--normalize-embeddings", True, "")
    verb.add_argument("--pooling-method", dest="pooling", choices=("cls", "mean", "last_token"), help="as trained")
    instruction = 'before each query; "" for none (default: as recommended)'
    names = ("--query-instruction-for-retrieval", "--instruction")
    verb.add_argument(*names, metavar="TEXT", dest="instruction", help=instruction)
    verb.add_argument("--query-instruction-format-for-retrieval", metavar="FORM", help="such as {}{}")
    verb.add_argument(f"--{prefix}batch-size", metavar="N", dest="batch_size", type=values.positive, default=256)
    verb.add_argument("--embedder-query-max-length", metavar="N", type=values.positive, default=512)
    verb.add_argument("--embedder-passage-max-length", metavar="N", type=values.positive, default=512)
    verb.add_argument("--truncate-dim", metavar="N", type=values.positive)
    verb.add_argument("--dense", action="store_true", help="apply the linear layers of 2_Dense behind the pooling")
    _add_running(verb)
    _add_without_effect(verb, "--cache-dir", "--trust-remote-code")


def _add_reranker(verb: ArgumentParser) -> None:
    verb.add_argument("--reranker-name-or-path", metavar="MODEL", help="a reranker: a folder or a hub id")
    for side in ("query", "passage"):
        verb.add_argument(f"--{side}-instruction-for-rerank", metavar="TEXT")
        verb.add_argument(f"--{side}-instruction-format-for-rerank", metavar="FORM")
    verb.add_argument("--reranker-batch-size", metavar="N", type=values.positive, default=128)
    verb.add_argument("--reranker-query-max-length", metavar="N", type=values.positive)
    verb.add_argument("--reranker-max-length", metavar="N", type=values.positive, default=512)
    _add_truth(verb, "--normalize", False, "scores of the reranker from 0 to 1")
    verb.add_argument("--prompt", metavar="TEXT", help="of decoder-only rerankers")
    verb.add_argument("--cutoff-layers", metavar="N", type=values.positive)
    verb.add_argument("--compress-ratio", metavar="N", type=values.positive)
    verb.add_argument("--compress-layers", metavar="N", type=values.positive, nargs="+")


def _add_running(verb: ArgumentParser) -> None:
    verb.add_argument("--devices", "--device", metavar="D", dest="device", type=values.device, help="the best there is")
    verb.add_argument("--precision", choices=("fp32", "fp16", "bf16", "int8", "int4"))
    _add_truth(verb, "--use-fp16", True, "on CUDA, where the model has such a graph")
    _add_truth(verb, "--use-bf16", False, "fp32 is computed instead")
    verb.add_argument("--threads", metavar="N", type=values.positive)


def _add_truth(verb: ArgumentParser, name: str, default: bool, what: str) -> None:
    verb.add_argument(name, metavar="BOOL", type=values.truth, nargs="?", const=True, default=default, help=what)


def _add_without_effect(verb: ArgumentParser, *names: str) -> None:
    for name in names:
        verb.add_argument(name, metavar="X", nargs="?", help="accepted; has no effect here")


VERBS: dict[str, tuple[str, Callable[[ArgumentParser], ArgumentParser]]] = {
    "eval": ("how well a model ranks a collection with judgements", _eval),
    "mine": ("hard negatives for training data", _mine),
    "score": ("a reranker's scores for training data", _score),
    "split": ("training data by the length of its texts", _split),
}
