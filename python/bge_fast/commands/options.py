"""Arguments that several verbs have, each described once."""

from argparse import ArgumentParser

from bge_fast.commands import values

FILES = "lines of text, JSONL, JSON, CSV, TSV, also in gzip, or Parquet"
# Those of formats.py, which would be imported for nothing here.
_FORMATS = ("lines", "jsonl", "json", "csv", "tsv", "parquet")


def add_model(verb: ArgumentParser) -> None:
    """The model, by its place."""
    verb.add_argument("model", metavar="MODEL", help="a folder, or a hub id such as BAAI/bge-small-en-v1.5")


def add_field(verb: ArgumentParser) -> None:
    """Which part of a record is the text, and how a file holds records."""
    verb.add_argument("--field", metavar="NAME", help="the field of JSON or column of a table (default: text)")
    verb.add_argument("--format", choices=_FORMATS, help="default: by the file's name and its first line")


def add_device(verb: ArgumentParser) -> None:
    """Where the model runs."""
    verb.add_argument(
        "--device", metavar="D", type=values.device, help="cpu, cuda, cuda:0 … (default: the best there is)"
    )


def add_precision(verb: ArgumentParser) -> None:
    """In which numbers it computes."""
    verb.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8", "int4"),
        help="default: fp32, on CUDA fp16 where there is a graph of it; bf16, int8 and (decoders) int4 are for the CPU",
    )


def add_options(verb: ArgumentParser) -> None:
    """All that decides how texts of both sides are encoded."""
    add_device(verb)
    add_precision(verb)
    verb.add_argument("--instruction", metavar="TEXT", help='before each query; "" for none (default: as recommended)')
    add_encoding(verb)


def add_encoding(verb: ArgumentParser) -> None:
    """All that decides how a text is encoded, beside device, precision and instruction."""
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
    add_threads(verb)


def add_threads(verb: ArgumentParser) -> None:
    """How many threads of the CPU."""
    verb.add_argument(
        "--threads", metavar="N", type=values.positive, help="CPU threads (default: all that may be used)"
    )


def add_layers(verb: ArgumentParser) -> None:
    """What decoder-only rerankers leave out."""
    layers = "of layerwise and lightweight rerankers: the layer to score after (default: the last)"
    verb.add_argument("--cutoff-layers", metavar="N", type=values.positive, help=layers)
    verb.add_argument(
        "--compress-ratio", metavar="N", type=values.positive, help="of lightweight ones: tokens made one"
    )
    layers = "the layers before which that is done (default: 8)"
    verb.add_argument("--compress-layers", metavar="N", type=values.positive, nargs="+", help=layers)
