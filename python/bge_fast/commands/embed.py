"""``bge-fast embed``: texts in, vectors out."""

from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bge_fast.commands.defaults import defaults, locate, open_embedder, open_model
from bge_fast.commands.foreign import InputError
from bge_fast.commands.parquet import schema_of
from bge_fast.commands.progress import Run
from bge_fast.commands.resuming import Pace, resumed
from bge_fast.commands.sink import Sink
from bge_fast.commands.texts import STDIN, Text, TextReader
from bge_fast.commands.vectors import open_sink
from bge_fast.errors import NumericsError
from bge_fast.models.dense_embedder import DenseEmbedder
from bge_fast.models.m3 import BGEM3FlagModel
from bge_fast.opening.files import ModelFiles
from bge_fast.opening.state import FolderState
from bge_fast.runtime.library import default_device

# Texts encoded at a time with multi-vectors: of M3 a text of 8,192 tokens has 34 MB of them.
_COLBERT_TEXTS = 16
# These change nothing of the results; texts are known by what is in them.
_NO_MATTER = ("batch_size", "debug", "files", "model", "output", "resume", "room", "threads")


def run(args: Namespace) -> int:
    """Embed all texts; hold one chunk of them at a time."""
    kind = Path(args.output or STDIN).suffix
    _check(args, kind)
    reader: Any = TextReader(args.files, args.field, args.format, only=kind in (".npy", ".npz"))
    schema = schema_of(args.files) if kind == ".parquet" else None
    with ExitStack() as opened:
        part = opened.enter_context(resumed(Path(args.output), _made_by(args))) if args.resume else None
        sink = opened.enter_context(open_sink(args.output, args.dtype, schema, part))
        if part:
            reader, sink = part.rest(reader), part.noting(sink)
        embed = _embed_m3 if args.sparse or args.colbert else _embed
        embed(args, reader, sink, Pace() if part else None)
    return 0


def _check(args: Namespace, kind: str) -> None:
    """See that the target takes what is asked for.

    Raises:
        InputError: says what takes it.
    """
    target, many = args.output or "stdout", args.sparse or args.colbert
    if kind == ".npz" and (args.colbert or not args.sparse):
        raise InputError(f"{target}: .npz takes BGE-M3's lexical weights alone: --sparse without --colbert")
    if kind in (".npy", ".parquet") and many:
        what = "--sparse and --colbert write JSONL; name a file that ends in .jsonl, or for --sparse alone in .npz"
        raise InputError(f"{target}: {what}")
    if args.dtype != "float32" and kind != ".npy" and (kind, args.dtype) != (".parquet", "float16"):
        raise InputError(f"{target}: --dtype is for .npy files; Parquet takes float16 too, JSONL holds decimal numbers")
    to_file = kind in (".npy", ".npz", ".jsonl") and (Path(target).is_file() or not Path(target).exists())
    if args.resume and not (to_file and args.files and STDIN not in args.files):
        raise InputError("--resume is for files of texts, and for -o with a .npy, .npz or .jsonl file")


def _made_by(args: Namespace) -> dict[str, Any]:
    """What decides the vectors: options, what is known of the model, and its files by size and time."""
    from bge_fast import __version__

    files = locate(args.model, args.device, args.precision, kind="embedder")
    options = {name: value for name, value in vars(args).items() if name not in _NO_MATTER}
    return {
        **options,
        "device": str(args.device or default_device()),
        "precision": args.precision or files.computation,
        "model": _stamps(files),
        "defaults of the model": asdict(defaults(files)),
        "bge-fast": __version__,
    }


def _stamps(files: ModelFiles) -> dict[str, tuple[int, int]]:
    """Size and time of all that a model is opened from."""
    weights = [*files.paths.values(), *files.head_files.values(), *([files.adapter.file] if files.adapter else [])]
    stamps = FolderState.of(files.folder, weights).stamps
    return {"/".join(Path(name).parts[-2:]): (size, modified) for name, (*_, size, modified) in stamps.items()}


def _embed(args: Namespace, reader: TextReader, sink: Sink, pace: Pace | None) -> None:
    with open_embedder(args, args.query) as model:
        encode = encoder(model, args)
        sink.write([], {"embedding": encode([])})
        run = Run(reader)
        with run.watched("texts", model):
            for chunk in run.chunks(pace):
                sink.write(chunk, {"embedding": vectors_of(encode, chunk)})


def _embed_m3(args: Namespace, reader: TextReader, sink: Sink, pace: Pace | None) -> None:
    """All that was asked for of BGE-M3's outputs, of one pass."""
    with open_model(args, BGEM3FlagModel, args.query) as model:
        fields = _fields
        if str(args.output).endswith(".npz"):
            fields = _native_fields
            sink.write([], fields(model, args, []))  # says how many words there are
        run = Run(reader)
        with run.watched("texts", model):
            for chunk in run.chunks(_COLBERT_TEXTS if args.colbert else pace):
                sink.write(chunk, fields(model, args, chunk))


def _fields(model: BGEM3FlagModel, args: Namespace, chunk: list[Text]) -> dict[str, Any]:
    encode = encoder(model, args)
    vectors = vectors_of(encode, chunk, return_sparse=args.sparse, return_colbert_vecs=args.colbert)
    fields = {"embedding": vectors["dense_vecs"]}
    if args.sparse:
        fields["lexical_weights"] = vectors["lexical_weights"]
    if args.colbert:
        fields["colbert_vecs"] = vectors["colbert_vecs"]
    return fields


def _native_fields(model: BGEM3FlagModel, args: Namespace, chunk: list[Text]) -> dict[str, Any]:
    """Lexical weights alone, as arrays over all texts."""
    vectors = vectors_of(model.encode_vectors, chunk, dense=False, query=_as_queries(args))
    return {"lexical_weights": vectors.sparse}


def encoder(model: DenseEmbedder | BGEM3FlagModel, args: Namespace) -> Callable[..., Any]:
    """As queries or as passages."""
    return model.encode_queries if _as_queries(args) else model.encode_corpus


def _as_queries(args: Namespace) -> bool:
    """An instruction that was typed is meant, with ``--query`` or without."""
    return bool(args.query or args.instruction is not None)


def vectors_of(encode: Callable[..., Any], chunk: list[Text], **options: Any) -> Any:
    """What ``encode`` gives for a chunk.

    Raises:
        NumericsError: names a text by its place in the chunk, and where the chunk began.
    """
    try:
        return encode([text.text for text in chunk], show_progress_bar=False, **options)
    except NumericsError as error:
        raise NumericsError(f"{error} (texts[0] is {chunk[0].place})") from error
