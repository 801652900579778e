"""What all calls of the look-alikes share: options that cannot be honoured, an older name, tensors."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from bge_fast import AbsEmbedder
from bge_fast.errors import quoted
from bge_fast.search.encoders import dense_passages, dense_queries, dense_texts

P = ParamSpec("P")
R = TypeVar("R")
# What the real class hands to its modules: nothing here depends on it.
_IGNORED = ("task",)


def check_call(own_device: str, device: Any, pool: Any, chunk_size: Any, others: Mapping[str, Any]) -> None:
    """See that a call asks for nothing that this object cannot do.

    Raises:
        ValueError: another device, a pool of processes, or an unknown keyword.
    """
    if device is not None and str(device) not in (own_device, own_device.partition(":")[0]):
        raise ValueError(f"device={quoted(device)}, but the model is on {own_device}; open it with device= there")
    if pool is not None or chunk_size is not None:
        raise ValueError("pool= and chunk_size= are for several processes; one model uses all cores, or devices=[…]")
    if unknown := [name for name in others if name not in _IGNORED]:
        raise ValueError(f"{', '.join(map(quoted, unknown))} is no argument of this call")


def vectors(model: AbsEmbedder, texts: Iterable[str], prompt: str | None, task: Any, **options: Any) -> Any:
    """Vectors ``(n, dim)``: with a prompt before each text, or where it is empty with the model's own instruction."""
    if prompt:
        return dense_texts(model, texts, instruction=prompt, **options)
    encode = {"query": dense_queries, "document": dense_passages}.get(task, dense_texts)
    return encode(model, texts, **options)


def old_name(call: Callable[P, R]) -> Callable[P, R]:
    """Let a call take ``sentences=`` for ``inputs=``, as sentence-transformers does."""

    @wraps(call)
    def renamed(*args: Any, **kwargs: Any) -> R:
        if "sentences" in kwargs:
            kwargs["inputs"] = kwargs.pop("sentences")
        return call(*args, **kwargs)

    return cast("Callable[P, R]", renamed)


def tensor(numbers: Any) -> Any:
    """Numbers as a torch tensor.

    Raises:
        ImportError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("tensors need torch: pip install torch; numpy is the default") from error
    return torch.from_numpy(np.array(numbers))
