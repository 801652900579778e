"""``bge-fast embed --sparse --colbert``: texts in, BGE-M3's outputs of one pass out."""

from argparse import Namespace
from typing import Any

from bge_fast.commands.embed import with_bar
from bge_fast.commands.opening import open_model
from bge_fast.commands.texts import InputError, Text, TextReader
from bge_fast.commands.vectors import JsonlSink, open_sink
from bge_fast.errors import NumericsError
from bge_fast.m3 import BGEM3FlagModel


def run(args: Namespace) -> int:
    """Embed all texts; hold one chunk of them at a time."""
    reader = TextReader(args.files, args.field)
    with open_sink(args.output) as sink, open_model(args, BGEM3FlagModel) as model:
        if not isinstance(sink, JsonlSink):
            raise InputError(f"{args.output}: --sparse and --colbert write JSONL; name a file that ends in .jsonl")
        for chunk in with_bar(reader):
            sink.write_fields(chunk, _fields(model, args, chunk))
    return 0


def _fields(model: BGEM3FlagModel, args: Namespace, chunk: list[Text]) -> dict[str, list[Any]]:
    instruction = model.query_instruction_for_retrieval if args.query or args.instruction else None
    try:
        vectors = model.encode(
            [text.text for text in chunk],
            return_sparse=args.sparse,
            return_colbert_vecs=args.colbert,
            instruction=instruction,
            show_progress_bar=False,
        )
    except NumericsError as error:
        raise NumericsError(f"{error} (texts[0] is {chunk[0].place})") from error
    fields = {"embedding": vectors["dense_vecs"].tolist()}
    if args.sparse:
        fields["lexical_weights"] = vectors["lexical_weights"]
    if args.colbert:
        fields["colbert_vecs"] = [rows.tolist() for rows in vectors["colbert_vecs"]]
    return fields
