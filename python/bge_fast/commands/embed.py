"""``bge-fast embed``: texts in, vectors out."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from tqdm import tqdm

from bge_fast.commands.opening import open_model
from bge_fast.commands.texts import Text, TextReader, chunks
from bge_fast.commands.vectors import open_sink
from bge_fast.embedder import FlagModel
from bge_fast.errors import NumericsError
from bge_fast.m3 import BGEM3FlagModel


def run(args: Namespace) -> int:
    """Embed all texts; hold one chunk of them at a time."""
    if args.sparse or args.colbert:
        return int(import_module("bge_fast.commands.embed_m3").run(args))
    reader = TextReader(args.files, args.field)
    with open_sink(args.output) as sink, open_model(args, FlagModel, args.query) as model:
        encode = encoder(model, args)
        sink.write([], encode([]))
        for chunk in with_bar(reader):
            sink.write(chunk, vectors_of(encode, chunk))
    return 0


def with_bar(reader: TextReader, most: int | None = None) -> Iterator[list[Text]]:
    """Chunks of the reader's texts, of at most ``most`` each, with a progress bar where stderr is a terminal."""
    texts = 0
    with tqdm(total=reader.total_bytes, unit="B", unit_scale=True, file=sys.stderr, disable=None) as bar:
        for chunk in chunks(reader, most):
            yield chunk
            texts += len(chunk)
            bar.set_postfix(texts=texts, refresh=False)
            bar.update(reader.bytes_read - bar.n)


def encoder(model: FlagModel | BGEM3FlagModel, args: Namespace) -> Callable[..., Any]:
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
