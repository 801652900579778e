"""From the model that was named to the object that is run, with the command line's defaults.

Unlike the Python API, which keeps FlagEmbedding's defaults, the command line pools as the checkpoint was trained.
"""

from argparse import Namespace
from dataclasses import replace
from inspect import signature
from typing import Any, TypeVar

from bge_fast.commands import output
from bge_fast.commands.foreign import InputError
from bge_fast.known import UNKNOWN_DECODER, KnownModel, known_model, known_reranker
from bge_fast.mapping import RERANKER_CLASSES
from bge_fast.models.cross_encoder import FlagReranker
from bge_fast.models.dense import FlagModel
from bge_fast.models.dense_embedder import DenseEmbedder
from bge_fast.models.icl import FlagICLModel
from bge_fast.models.llm import FlagLLMModel
from bge_fast.models.m3 import BGEM3FlagModel
from bge_fast.models.prompted import PromptedReranker
from bge_fast.opening.engine import EngineOptions
from bge_fast.opening.files import ModelFiles
from bge_fast.opening.hub import find_model
from bge_fast.opening.kinds import family_of, opened_by
from bge_fast.runtime.devices import parse_devices
from bge_fast.runtime.library import default_device

Embedder = TypeVar("Embedder", DenseEmbedder, BGEM3FlagModel)


def locate(
    name: str, device: str | None = None, precision: str | None = None, download: bool = True, kind: str | None = None
) -> ModelFiles:
    """Find the files that a run with these options would open; without ``download`` the network is not used."""
    if kind is None and (row := known_reranker(name)) and row.model_class != FlagReranker.__name__:
        kind = "reranker"  # which a decoder's files do not say
    options = EngineOptions(name, parse_devices(device), precision, prefer_fp16=True, family="decoder")
    chosen = options.device or default_device()
    files = find_model(name, options.computations(chosen), download=download, kind=kind)
    # Which precisions there are depends on the family, which the files say.
    replace(options, family=family_of(files.config)).computations(chosen)
    return files


def defaults(files: ModelFiles) -> KnownModel:
    """Return pooling and instructions: by the name, by the name it was exported from, or by its files."""
    unknown = UNKNOWN_DECODER if is_decoder(files) else KnownModel(files.declared_pooling or "cls")
    return _row(files) or unknown


def is_decoder(files: ModelFiles) -> bool:
    """Whether it is a decoder-only model."""
    return family_of(files.config) != "encoder"


def _row(files: ModelFiles) -> KnownModel | None:
    exported_from = str(files.manifest.get("source", {}).get("checkpoint") or "")
    return known_model(files.name) or known_model(exported_from)


def open_embedder(args: Namespace, queries: bool = False) -> DenseEmbedder:
    """Open an embedder of one vector a text, by the class for its files; otherwise as `open_model`."""
    return open_model(args, DenseEmbedder, queries)


def open_model(args: Namespace, model_class: type[Embedder], queries: bool = False) -> Embedder:
    """Open the model that the arguments describe; instructions that they do not name are as recommended.

    For ``queries``, a model that is not known by its name gets a note that nothing is put before them.
    """
    files = locate(args.model, args.device, args.precision, kind="embedder")
    known = defaults(files)
    if queries and args.instruction is None and (_row(files) is None or known.pooling == "last_token"):
        output.note(
            f"no instruction is known for {args.model}, so none is put before queries. "
            'Pass --instruction TEXT, or --instruction "" where it needs none'
        )
    build: Any = _class_for(files, known) if model_class is DenseEmbedder else model_class
    more: dict[str, Any] = {"dense": True} if args.dense else {}
    recommended = known.query_instruction if args.instruction is None else args.instruction
    opened: Embedder = build(
        args.model,
        query_instruction_for_retrieval=recommended or None,
        query_instruction_format=known.query_format,
        passage_instruction_for_retrieval=known.passage_instruction or None,
        devices=args.device,
        pooling_method=args.pooling or known.pooling,
        batch_size=args.batch_size,
        query_max_length=args.max_length,
        passage_max_length=args.max_length,
        truncate_dim=args.truncate_dim,
        precision=args.precision,
        threads=args.threads,
        **more,
    )
    return opened


def open_reranker(args: Namespace, **more: Any) -> FlagReranker | PromptedReranker:
    """Open a reranker by the class for its files; ``more`` are arguments that this class has.

    Raises:
        InputError: an argument that the class is without.
    """
    files = locate(args.model, args.device, args.precision, kind="reranker")
    name = opened_by("reranker", files.config)
    build: Any = next(one for one in RERANKER_CLASSES.values() if one.__name__ == name)
    has = signature(build).parameters
    more = {key: value for key, value in more.items() if value is not None}
    if lacking := next((key for key in more if key not in has), None):
        raise InputError(f"{args.model} opens with {name}, which has no --{lacking.replace('_', '-')}")
    opened: FlagReranker | PromptedReranker = build(
        args.model,
        devices=args.device,
        batch_size=args.batch_size,
        max_length=args.max_length,
        precision=args.precision,
        threads=args.threads,
        **more,
    )
    return opened


def _class_for(files: ModelFiles, known: KnownModel) -> type[DenseEmbedder]:
    if not is_decoder(files):
        return FlagModel
    return FlagICLModel if known.model_class == "FlagICLModel" else FlagLLMModel
