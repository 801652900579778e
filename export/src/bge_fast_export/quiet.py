"""Keeps the chatter of the export tools from burying the stage lines."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced(active: bool = True) -> Iterator[None]:
    """Silence warnings, log lines and loading bars of torch, transformers, Optimum and ONNX Runtime."""
    if not active:
        yield
        return
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    previous = logging.root.manager.disable
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
