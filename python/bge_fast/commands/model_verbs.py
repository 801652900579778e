"""Arguments of the verbs that look at models and at the machine: ``download``, ``models``, ``info``, ``doctor``."""

from argparse import ArgumentParser
from collections.abc import Callable

from bge_fast.commands import options


def _download(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.download")
    verb.description = "Fetch what models are opened from into the hub's cache, and print where it lies."
    verb.add_argument("models", metavar="MODEL", nargs="+", help="hub ids such as BAAI/bge-small-en-v1.5")
    options.add_device(verb)
    options.add_precision(verb)
    return verb


def _models(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.models")
    verb.description = "List the checkpoints whose pooling, instructions and class are known by their names."
    verb.add_argument("--json", action="store_true", help="one JSON object a model, with its instructions")
    return verb


def _info(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.info")
    verb.description = "Show what a model's files say, without opening it."
    options.add_model(verb)
    verb.add_argument("--verify", action="store_true", help="compare the sha256 of every file with the manifest")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    options.add_device(verb)
    options.add_precision(verb)
    return verb


def _doctor(verb: ArgumentParser) -> ArgumentParser:
    verb.set_defaults(room="bge_fast.commands.doctor.doctor")
    verb.description = "Check this machine and installation. Needs no model and no network; exit status 3 on an error."
    verb.add_argument("model", metavar="MODEL", nargs="?", help="also check this model and run it")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    options.add_device(verb)
    return verb


VERBS: dict[str, tuple[str, Callable[[ArgumentParser], ArgumentParser]]] = {
    "download": ("a model from the hub into the cache", _download),
    "models": ("the checkpoints that are known by their names", _models),
    "info": ("what is known about a model", _info),
    "doctor": ("what works on this machine, and how to repair what does not", _doctor),
}
