"""``bge-fast download``: what a model is opened from, into the hub's cache."""

from argparse import Namespace

from bge_fast.commands import output
from bge_fast.commands.defaults import locate


def run(args: Namespace) -> int:
    """Fetch what is missing; a line with the folder for each model."""
    for model in args.models:
        output.result(str(locate(model, args.device, args.precision).folder))
        output.flush()
    return 0
