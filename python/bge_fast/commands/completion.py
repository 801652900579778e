"""Completion of words by the shell, written by shtab from the parsers."""

import argparse
from collections.abc import Iterator

# What stands for a file or a folder in the usage.
_PATHS = ("MODEL", "FILE", "OUT", "DIR", "DATASET", "BASE", "ADAPTER", "X.npy")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that ``shell`` reads to complete a command of ``parser``.

    Raises:
        ImportError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise ImportError("completion needs shtab: pip install shtab") from error
    for action in _actions(parser):
        if action.metavar in _PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)
