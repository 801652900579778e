"""``bge-fast serve``: models over HTTP until the process is told to stop."""

from argparse import Namespace
from typing import Any

from bge_fast.commands import output
from bge_fast.commands.defaults import locate, open_embedder, open_model, open_reranker
from bge_fast.commands.foreign import InputError
from bge_fast.models.m3 import BGEM3FlagModel

_LOCAL = ("127.0.0.1", "localhost", "::1")


def run(args: Namespace) -> int:
    """Take the address, open all models, serve."""
    from bge_fast.server import Limits, create_app
    from bge_fast.server.running import bound, run

    if not args.models and not args.rerankers:
        raise InputError("name a model to serve; --help says how")
    with bound(args.host, args.port) as address:
        opened = [_opened(args, name) for name in args.models]
        opened += [open_reranker(_options(args, name), use_fp16=True) for name in args.rerankers]
        limits = Limits(max_waiting=args.max_waiting, max_batch=args.max_batch, max_body=args.max_body)
        app = create_app(opened, limits)
        greeting = _greeting(args, [model.model_name_or_path for model in opened], address.getsockname()[1])
        answered = run(app, address, lambda: output.note(greeting))
    output.note("stopped; what was accepted is answered" if answered else "stopped at once; some were not answered")
    return 0


def _opened(args: Namespace, name: str) -> Any:
    options = _options(args, name)
    match locate(name, args.device, args.precision).kind:
        case "reranker":
            return open_reranker(options, use_fp16=True)
        case "m3":
            return open_model(options, BGEM3FlagModel)
    return open_embedder(options)


def _options(args: Namespace, name: str) -> Namespace:
    """What a model is opened with: the command line's defaults where ``serve`` has no option of its own."""
    given = {"model": name, "instruction": None, "pooling": None, "dense": False, "truncate_dim": None}
    return Namespace(**{**vars(args), **given, "batch_size": 256})


def _greeting(args: Namespace, models: list[str], port: int) -> str:
    host = f"[{args.host}]" if ":" in args.host else args.host
    note = f"serving {', '.join(models)} on http://{host}:{port}"
    return (
        note if args.host in _LOCAL else f"{note}, to everybody who reaches this machine: keys and TLS are a gateway's"
    )
