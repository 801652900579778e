"""``bge-fast mix``: one checkpoint that is a weighted sum of several."""

from argparse import Namespace

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.commands.texts import TextReader
from bge_fast.merging.losses import weights_by_data
from bge_fast.merging.mixing import mix_models


def run(args: Namespace) -> int:
    """Find the weights where examples tell them, and mix."""
    if (args.weights is None) is (args.examples is None):
        raise InputError("give either weights (-w 0.7 0.3) or examples that tell them (--examples FILE)")
    weights = args.weights or _told_by_examples(args)
    mix_models(args.models, weights=weights, output_path=args.output)
    for model, weight in zip(args.models, weights, strict=True):
        output.note(f"{weight:.6f} of {model}")
    output.result(args.output)
    return 0


def _told_by_examples(args: Namespace) -> list[float]:
    examples = [text.record for text in TextReader([args.examples], "query", "jsonl")]
    return weights_by_data(
        args.models,
        examples,
        temperature=args.temperature,
        batch_size=args.batch_size,
        max_length=args.max_length,
        negatives=args.negatives,
        seed=args.seed,
    )
