"""``bge-fast embed``: texts in, vectors out."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from bge_fast.commands.defaults import open_embedder, open_model
from bge_fast.commands.foreign import InputError
from bge_fast.commands.progress import Run
from bge_fast.commands.texts import Text, TextReader
from bge_fast.commands.vectors import JsonlSink, Sink, open_sink
from bge_fast.errors import NumericsError
from bge_fast.models.dense_embedder import DenseEmbedder
from bge_fast.models.m3 import BGEM3FlagModel

# Texts encoded at a time with multi-vectors: of M3 a text of 8,192 tokens has 34 MB of them.
_COLBERT_TEXTS = 16


def run(args: Namespace) -> int:
    """Embed all texts; hold one chunk of them at a time."""
    reader = TextReader(args.files, args.field, args.format)
    with open_sink(args.output) as sink:
        if args.sparse or args.colbert:
            _embed_m3(args, reader, sink)
        else:
            _embed(args, reader, sink)
    return 0


def _embed(args: Namespace, reader: TextReader, sink: Sink) -> None:
    with open_embedder(args, args.query) as model:
        encode = encoder(model, args)
        sink.write([], encode([]))
        run = Run(reader)
        with run.watched("texts", model):
            for chunk in run.chunks():
                sink.write(chunk, vectors_of(encode, chunk))


def _embed_m3(args: Namespace, reader: TextReader, sink: Sink) -> None:
    """All that was asked for of BGE-M3's outputs, of one pass."""
    with open_model(args, BGEM3FlagModel, args.query) as model:
        if not isinstance(sink, JsonlSink):
            raise InputError(f"{args.output}: --sparse and --colbert write JSONL; name a file that ends in .jsonl")
        encode = encoder(model, args)
        run = Run(reader)
        with run.watched("texts", model):
            for chunk in run.chunks(_COLBERT_TEXTS if args.colbert else None):
                vectors = vectors_of(encode, chunk, return_sparse=args.sparse, return_colbert_vecs=args.colbert)
                sink.write_fields(chunk, _fields(vectors, args))


def _fields(vectors: dict[str, Any], args: Namespace) -> dict[str, Any]:
    fields = {"embedding": vectors["dense_vecs"]}
    if args.sparse:
        fields["lexical_weights"] = vectors["lexical_weights"]
    if args.colbert:
        fields["colbert_vecs"] = vectors["colbert_vecs"]
    return fields


def encoder(model: DenseEmbedder | BGEM3FlagModel, args: Namespace) -> Callable[..., Any]:
    """As queries or as passages; an instruction that was typed is meant, with ``--query`` or without."""
    return model.encode_queries if args.query or args.instruction is not None else model.encode_corpus


def vectors_of(encode: Callable[..., Any], chunk: list[Text], **options: Any) -> Any:
    """What ``encode`` gives for a chunk.

    Raises:
        NumericsError: names a text by its place in the chunk, and where the chunk began.
    """
    try:
        return encode([text.text for text in chunk], show_progress_bar=False, **options)
    except NumericsError as error:
        raise NumericsError(f"{error} (texts[0] is {chunk[0].place})") from error
