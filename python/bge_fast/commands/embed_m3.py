"""``bge-fast embed --sparse --colbert``: texts in, BGE-M3's outputs of one pass out."""

from argparse import Namespace
from typing import Any

from bge_fast.commands.embed import encoder, vectors_of, with_bar
from bge_fast.commands.opening import open_model
from bge_fast.commands.texts import InputError, TextReader
from bge_fast.commands.vectors import JsonlSink, open_sink
from bge_fast.m3 import BGEM3FlagModel

# Texts encoded at a time with multi-vectors: of M3 a text of 8,192 tokens has 34 MB of them.
_COLBERT_TEXTS = 16


def run(args: Namespace) -> int:
    """Embed all texts; hold one chunk of them at a time."""
    reader = TextReader(args.files, args.field)
    with open_sink(args.output) as sink, open_model(args, BGEM3FlagModel, args.query) as model:
        if not isinstance(sink, JsonlSink):
            raise InputError(f"{args.output}: --sparse and --colbert write JSONL; name a file that ends in .jsonl")
        encode = encoder(model, args)
        for chunk in with_bar(reader, _COLBERT_TEXTS if args.colbert else None):
            vectors = vectors_of(encode, chunk, return_sparse=args.sparse, return_colbert_vecs=args.colbert)
            sink.write_fields(chunk, _fields(vectors, args))
    return 0


def _fields(vectors: dict[str, Any], args: Namespace) -> dict[str, Any]:
    fields = {"embedding": vectors["dense_vecs"]}
    if args.sparse:
        fields["lexical_weights"] = vectors["lexical_weights"]
    if args.colbert:
        fields["colbert_vecs"] = vectors["colbert_vecs"]
    return fields
