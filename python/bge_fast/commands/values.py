"""From words of the command line to values; what is none ends the program with one line."""

import argparse

from bge_fast.errors import quoted

_MOST_DIGITS = 18
_LAST_PORT = 65_535


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number of at least 1")
    return int(text)


def port(text: str) -> int:
    """A number of a TCP port; 0 stands for any that is free."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no port from 0 to {_LAST_PORT}")
    return int(text)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number")
    return value


def seconds(text: str) -> float:
    """A time that is more than nothing."""
    if (value := number(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no time: name seconds, more than 0")
    return value


def device(text: str) -> str:
    """A device as the core calls it."""
    from bge_fast.runtime.devices import parse_devices  # takes longer than all else here

    try:
        return str(parse_devices(int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def target(text: str) -> str:
    """A file for vectors."""
    if text != "-" and not text.endswith((".npy", ".npz", ".jsonl", ".parquet")):
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} must end in .npy, .npz, .jsonl or .parquet, or be - for JSONL to stdout"
        )
    return text


def numbers(text: str) -> tuple[int, int]:
    """Two numbers with a dash between them, such as ``10-210``."""
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal() and len(text) <= _MOST_DIGITS and int(low) < int(high)):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no range such as 10-210")
    return int(low), int(high)


def truth(text: str) -> bool:
    """``True`` or ``False``, as FlagEmbedding's scripts take them."""
    known = {
        **dict.fromkeys(("true", "yes", "1", "t", "y"), True),
        **dict.fromkeys(("false", "no", "0", "f", "n"), False),
    }
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is neither True nor False")
    return known[text.lower()]
