"""Arguments of the verb that serves models over HTTP: ``serve``."""

from argparse import ArgumentParser
from collections.abc import Callable

from bge_fast.commands import options, values


def _serve(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.serve")
    verb.description = "Serve models to clients of OpenAI's, text-embeddings-inference's and Cohere's API."
    verb.add_argument("models", metavar="MODEL", nargs="*", help="folders or hub ids; name the embedder first")
    reranker = "one more model, opened as a reranker whatever its files say; once a model"
    verb.add_argument("--reranker", metavar="MODEL", dest="rerankers", action="append", default=[], help=reranker)
    verb.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for all of the machine (default: 127.0.0.1)")
    verb.add_argument("--port", type=values.port, default=8000, help="0 for any that is free (default: 8000)")
    waiting = "requests under way at a time; one more gets 429 (default: 512)"
    verb.add_argument("--max-waiting", metavar="N", type=values.positive, default=512, help=waiting)
    verb.add_argument("--max-batch", metavar="N", type=values.positive, default=2048, help="texts a request (2048)")
    verb.add_argument("--max-body", metavar="N", type=values.positive, default=2_000_000, help="bytes a request (2 MB)")
    verb.add_argument("--max-length", metavar="N", type=values.positive, default=512, help="tokens a text (512)")
    options.add_device(verb)
    options.add_precision(verb)
    options.add_threads(verb)
    return verb


VERBS: dict[str, tuple[str, Callable[[ArgumentParser], ArgumentParser]]] = {
    "serve": ("models over HTTP, for clients of OpenAI and text-embeddings-inference", _serve),
}
