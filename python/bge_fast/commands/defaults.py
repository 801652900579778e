"""From the model that was named to the object that is run, with the command line's defaults.

Unlike the Python API, which keeps FlagEmbedding's defaults, the command line pools as the checkpoint was trained.
"""

from argparse import Namespace
from typing import Any, TypeVar

from bge_fast.commands import output
from bge_fast.known import KnownModel, known_model
from bge_fast.models.dense import FlagModel
from bge_fast.models.m3 import BGEM3FlagModel
from bge_fast.opening.engine import EngineOptions
from bge_fast.opening.files import ModelFiles
from bge_fast.opening.hub import find_model
from bge_fast.runtime.devices import parse_devices
from bge_fast.runtime.library import default_device

Embedder = TypeVar("Embedder", FlagModel, BGEM3FlagModel)


def locate(
    name: str, device: str | None = None, precision: str | None = None, download: bool = True, kind: str | None = None
) -> ModelFiles:
    """Find the files that a run with these options would open; without ``download`` the network is not used."""
    options = EngineOptions(name, parse_devices(device), precision, prefer_fp16=True)
    return find_model(name, options.computations(options.device or default_device()), download=download, kind=kind)


def defaults(files: ModelFiles) -> KnownModel:
    """Return pooling and instructions: by the name, by the name it was exported from, or by its files."""
    return _row(files) or KnownModel(files.declared_pooling or "cls")


def _row(files: ModelFiles) -> KnownModel | None:
    exported_from = str(files.manifest.get("source", {}).get("checkpoint") or "")
    return known_model(files.name) or known_model(exported_from)


def open_model(args: Namespace, model_class: type[Embedder], queries: bool = False) -> Embedder:
    """Open the model that the arguments describe; instructions that they do not name are as recommended.

    For ``queries``, a model that is not known by its name gets a note that nothing is put before them.
    """
    files = locate(args.model, args.device, args.precision, kind="embedder")
    known = defaults(files)
    if queries and args.instruction is None and _row(files) is None:
        output.note(
            f"no instruction is known for {args.model}, so none is put before queries. "
            'Pass --instruction TEXT, or --instruction "" where it needs none'
        )
    more: dict[str, Any] = {"dense": True} if args.dense else {}
    recommended = known.query_instruction if args.instruction is None else args.instruction
    return model_class(
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
