"""From the words of a command to its verb and arguments; wrong words get the usage and what was meant."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from bge_fast.commands import merging_verbs, model_verbs, output, serving_verb, text_verbs, toolkit
from bge_fast.errors import quoted

Fill = Callable[[argparse.ArgumentParser], argparse.ArgumentParser]
# In the order of --help.
VERBS: dict[str, tuple[str, Fill]] = {
    **text_verbs.VERBS,
    **toolkit.VERBS,
    **merging_verbs.VERBS,
    **serving_verb.VERBS,
    **model_verbs.VERBS,
}


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command; ``room`` is the module that runs it.

    Raises:
        SystemExit: wrong usage, or words such as ``--help`` that ask for nothing more.
    """
    if not words or words[0].startswith("-"):
        whole().parse_args(words)  # Ends here, whatever they are.
    name, given = words[0], list(words[1:])
    if name not in VERBS:
        whole().error(f"there is no verb {quoted(name)}{_meant(name, VERBS)}")
    verb = _filled(_Parser(prog=f"{output.PROGRAM} {name}"), name)
    # Plain parse_args would take no more positionals after the first option.
    args, unknown = verb.parse_known_intermixed_args(toolkit.as_typed_here(given) if name in toolkit.VERBS else given)
    if unknown:
        option = unknown[0].partition("=")[0]
        meant = _meant(option, verb._option_string_actions) if option.startswith("-") else ""
        verb.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    return args


def whole(filled: bool = False) -> argparse.ArgumentParser:
    """The parser of the program, with the names of all verbs; ``filled`` with their arguments too."""
    parser = _Parser(prog=output.PROGRAM, description="BGE embeddings on ONNX Runtime.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    shells = "print the script with which this shell completes words (needs shtab)"
    parser.add_argument("--print-completion", action=_Completion, choices=("bash", "zsh", "tcsh"), help=shells)
    add = parser.add_subparsers(metavar="VERB", dest="verb", required=True).add_parser
    for name, (what, _) in VERBS.items():
        verb = add(name, help=what)
        if filled:
            _filled(verb, name)
    return parser


def _filled(verb: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    VERBS[name][1](verb).add_argument("--debug", action="store_true", help="show the traceback of an error")
    return verb


def _meant(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


class _Parser(argparse.ArgumentParser):
    """Repeats of wrong words only as much as a line holds."""

    def error(self, message: str) -> NoReturn:
        super().error(output.shortened(message))


class _Version(argparse.Action):
    """Reads the version of the installed package when it is asked for: that takes longer than all else at the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from bge_fast import __version__

        print(parser.prog, __version__)
        parser.exit()


class _Completion(argparse.Action):
    """Writes what a shell needs to complete verbs, options and names of files."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: object, *__: object) -> NoReturn:
        from bge_fast.commands.completion import script

        output.result(script(whole(filled=True), str(shell)))
        parser.exit()
