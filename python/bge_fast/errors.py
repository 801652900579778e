"""Exceptions of bge-fast, each also the builtin that a careful caller would expect; and its warnings."""

import os
import sys
import warnings

_PACKAGE = os.path.dirname(__file__) + os.sep


class BGEFastError(Exception):
    """Base of all exceptions of this package other than plain argument errors."""


class ModelNotFoundError(BGEFastError, FileNotFoundError):
    """A folder, file or repository is missing, or not complete while offline."""


class ModelFormatError(BGEFastError, ValueError):
    """A manifest, config, tokenizer or graph is not what it should be."""


class UnsafeModelError(ModelFormatError):
    """A model folder asks for something that opening a model must never do."""


class UnsupportedModelError(BGEFastError, NotImplementedError):
    """An architecture or model class that does not run here (yet)."""


class RuntimeNotFoundError(BGEFastError, RuntimeError):
    """The ONNX Runtime library is missing, broken or too old."""


class DeviceError(BGEFastError, RuntimeError):
    """The device asked for cannot be used; the message says why."""


class NumericsError(BGEFastError, RuntimeError):
    """A vector came out that is not finite; the message names the text."""


class ForkedProcessError(BGEFastError, RuntimeError):
    """A model opened before a fork is used in the child."""


class CallTimeoutError(BGEFastError, TimeoutError):
    """A call took longer than the model's ``timeout``."""


class QueueFullError(BGEFastError, RuntimeError):
    """As many calls wait for the model as its ``max_queue`` allows."""


class InternalError(BGEFastError, RuntimeError):
    """A fault of ONNX Runtime or of this package; please report it."""


def quoted(value: object, most: int = 80) -> str:
    """A caller's value as messages show it: its ``repr``, cut where it is long."""
    try:
        text = repr(value)
    except Exception:  # of an object of somebody's own, or of a number of thousands of digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's program that called into this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
