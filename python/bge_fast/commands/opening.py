"""Models as the verbs around them name and describe them."""

from argparse import Namespace
from typing import Any

from bge_fast.commands.defaults import open_embedder, open_model, open_reranker
from bge_fast.commands.foreign import InputError
from bge_fast.models.m3 import BGEM3FlagModel


def named(args: Namespace, what: str, *places: str) -> str:
    """The first of some arguments that was given.

    Raises:
        InputError: none was.
    """
    given = next((value for place in places if (value := getattr(args, place)) is not None), None)
    if given is None:
        raise InputError(f"name {what}; --help says how")
    return str(given)


def embedder(args: Namespace, needs_m3: bool = False) -> Any:
    """Open the embedder that the arguments describe."""
    model = named(args, "a model", "model", "embedder_name_or_path")
    given = Namespace(
        **{**vars(args), "model": model, "precision": _precision(args), "max_length": args.embedder_passage_max_length}
    )
    m3 = needs_m3 or args.embedder_model_class == "encoder-only-m3"
    opened: Any = open_model(given, BGEM3FlagModel, True) if m3 else open_embedder(given, True)
    opened.query_max_length = args.embedder_query_max_length
    opened.normalize_embeddings = args.normalize_embeddings
    if args.query_instruction_format_for_retrieval is not None:
        opened.query_instruction_format = args.query_instruction_format_for_retrieval.replace("\\n", "\n")
    return opened


def reranker(args: Namespace, model: str) -> Any:
    """Open the reranker that the arguments describe."""
    given = Namespace(
        model=model,
        device=args.device,
        precision=_precision(args),
        batch_size=args.reranker_batch_size,
        max_length=args.reranker_max_length,
        threads=args.threads,
    )
    formats = {
        f"{side}_instruction_format": getattr(args, f"{side}_instruction_format_for_rerank")
        for side in ("query", "passage")
    }
    return open_reranker(
        given,
        use_fp16=True,
        normalize=args.normalize,
        query_max_length=args.reranker_query_max_length,
        query_instruction_for_rerank=args.query_instruction_for_rerank,
        passage_instruction_for_rerank=args.passage_instruction_for_rerank,
        **{name: form and form.replace("\\n", "\n") for name, form in formats.items()},
        prompt=args.prompt,
        cutoff_layers=args.cutoff_layers,
        compress_ratio=args.compress_ratio,
        compress_layers=args.compress_layers,
    )


def _precision(args: Namespace) -> str | None:
    """What was asked for; without 16 bits float32."""
    wanted: str | None = args.precision or (None if args.use_fp16 and not args.use_bf16 else "fp32")
    return wanted
