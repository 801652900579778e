"""``bge-fast merge-lora``: a LoRA adapter and its base made one checkpoint."""

from argparse import Namespace

from bge_fast.commands import output
from bge_fast.merging.lora import merge_lora


def run(args: Namespace) -> int:
    """Merge."""
    merge_lora(args.adapter, args.output, base=args.model)
    output.result(args.output)
    return 0
