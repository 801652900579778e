"""``bge-fast embed``: texts in, vectors out."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from tqdm import tqdm

from bge_fast.commands.opening import open_model
from bge_fast.commands.texts import Text, TextReader, chunks
from bge_fast.commands.vectors import Matrix, open_sink
from bge_fast.embedder import FlagModel
from bge_fast.errors import NumericsError


def run(args: Namespace) -> int:
    """Embed all texts; hold one chunk of them at a time."""
    if args.sparse or args.colbert:
        return int(import_module("bge_fast.commands.embed_m3").run(args))
    reader = TextReader(args.files, args.field)
    with open_sink(args.output) as sink, open_model(args, FlagModel) as model:
        encode = _encoder(model, args)
        sink.write([], encode([]))
        for chunk in with_bar(reader):
            sink.write(chunk, encode(chunk))
    return 0


def with_bar(reader: TextReader) -> Iterator[list[Text]]:
    """Chunks of the reader's texts, with a progress bar where stderr is a terminal."""
    texts = 0
    with tqdm(total=reader.total_bytes, unit="B", unit_scale=True, file=sys.stderr, disable=None) as bar:
        for chunk in chunks(reader):
            yield chunk
            texts += len(chunk)
            bar.set_postfix(texts=texts, refresh=False)
            bar.update(reader.bytes_read - bar.n)


def encode_passages(model: FlagModel, chunk: list[Text], instruction: str | None = None) -> Matrix:
    """Vectors of a chunk.

    Raises:
        NumericsError: names a text by its place in the chunk, and where the chunk began.
    """
    encode: Callable[..., Any] = partial(model.encode, instruction=instruction, show_progress_bar=False)
    try:
        vectors: Matrix = encode([text.text for text in chunk])
    except NumericsError as error:
        raise NumericsError(f"{error} (texts[0] is {chunk[0].place})") from error
    return vectors


def _encoder(model: FlagModel, args: Namespace) -> Callable[[list[Text]], Matrix]:
    # An instruction that was typed is meant, with --query or without.
    instruction = model.query_instruction_for_retrieval if args.query or args.instruction else None
    return lambda chunk: encode_passages(model, chunk, instruction)
