"""What a model was opened with, as its constructor takes it again."""

import os
from collections.abc import Mapping
from inspect import signature
from typing import Any


def arguments_of(model: Any, opening: Mapping[str, Any]) -> dict[str, object]:
    """The constructor's arguments: ``opening`` are those that are no attributes, the others count as they are now."""
    defaults = {name: one.default for name, one in signature(type(model)).parameters.items() if name != "kwargs"}
    del defaults["model_name_or_path"]
    given = {name: opening[name] if name in opening else getattr(model, name) for name in defaults}
    named = {name: value for name, value in given.items() if value is not None or defaults[name] is not None}
    # What is no parameter but always the same in the class says nothing.
    named |= {name: value for name, value in model.kwargs.items() if getattr(type(model), name, None) != value}
    return {name: _plain(value) for name, value in named.items()}


def _plain(value: Any) -> object:
    """Paths as ``str``, numbers of layers as a list."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return list(value) if isinstance(value, tuple | range) else value
