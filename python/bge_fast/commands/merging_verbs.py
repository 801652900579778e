"""Arguments of the verbs that make checkpoints of checkpoints: ``mix``, ``merge-lora``."""

from argparse import ArgumentParser
from collections.abc import Callable

from bge_fast.commands import values


def _mix(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.mix")
    verb.description = "Add checkpoints up, each times its weight (LM-Cocktail), and write the sum as a checkpoint."
    verb.add_argument("models", metavar="MODEL", nargs="+", help="folders or hub ids; the first gives types and files")
    verb.add_argument(
        "-w", "--weights", metavar="W", type=values.number, nargs="+", help="one for each model, 1 together"
    )
    examples = "instead of weights: JSONL of query, pos and neg, which tells how good each model is"
    verb.add_argument("--examples", metavar="FILE", help=examples)
    verb.add_argument(
        "--temperature", metavar="T", type=values.number, default=5.0, help="of these weights (default: 5)"
    )
    verb.add_argument(
        "--negatives", metavar="N", type=values.positive, default=7, help="drawn for each query (default: 7)"
    )
    verb.add_argument("--batch-size", metavar="N", type=values.positive, default=2, help="queries a batch (default: 2)")
    verb.add_argument(
        "--max-length", metavar="N", type=values.positive, default=2048, help="tokens a text (default: 2048)"
    )
    verb.add_argument("--seed", metavar="N", type=int, default=0, help="of the draw (default: 0)")
    verb.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to write")
    return verb


def _merge_lora(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.merge_lora")
    verb.description = "Merge a LoRA adapter of peft into its base, and write that as a checkpoint."
    verb.add_argument("model", metavar="BASE", nargs="?", help="folder or hub id (default: what the adapter names)")
    verb.add_argument("adapter", metavar="ADAPTER", help="the adapter's folder")
    verb.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to write")
    return verb


VERBS: dict[str, tuple[str, Callable[[ArgumentParser], ArgumentParser]]] = {
    "mix": ("one checkpoint that is a weighted sum of several", _mix),
    "merge-lora": ("a LoRA adapter and its base made one checkpoint", _merge_lora),
}
