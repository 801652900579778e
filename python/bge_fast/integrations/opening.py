"""How the first argument of an adapter becomes a model: a name, a folder, or a model that is open already."""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from bge_fast import (
    AUTO_EMBEDDER_MAPPING,
    AUTO_RERANKER_MAPPING,
    AbsEmbedder,
    AbsReranker,
    BGEM3FlagModel,
    EmbedderModelClass,
    FlagAutoModel,
    FlagAutoReranker,
    RerankerModelClass,
)
from bge_fast.errors import ModelFormatError, quoted
from bge_fast.known import table_name
from bge_fast.mapping import EMBEDDER_CLASSES, RERANKER_CLASSES

M = TypeVar("M")
_ENCODER, _M3 = "encoder-only-base", EmbedderModelClass.ENCODER_ONLY_M3


def open_embedder(
    model: str | os.PathLike[str] | AbsEmbedder,
    model_class: str | EmbedderModelClass | None = None,
    **arguments: Any,
) -> AbsEmbedder:
    """Open an embedder, or take one that is open.

    Args:
        model: a hub id, a folder, or an embedder. One object can serve any number of adapters.
        model_class: the class, as for `FlagAutoModel.from_finetuned`: ``"encoder-only-base"``, ``"encoder-only-m3"``,
            ``"decoder-only-base"`` or ``"decoder-only-icl"``. ``None`` takes that of a known name, else the first.
        **arguments: of the class.

    Raises:
        TypeError: no model, or arguments for one that is open.
        ValueError: an unknown ``model_class``.
        BGEFastError: it does not open; see `bge_fast.errors`.
    """
    if isinstance(model, AbsEmbedder):
        return _as_it_is(model, model_class, arguments)
    opened: AbsEmbedder = _opened(
        FlagAutoModel, AUTO_EMBEDDER_MAPPING, EmbedderModelClass, model, model_class, arguments
    )
    return opened


def open_m3(
    model: str | os.PathLike[str] | BGEM3FlagModel,
    model_class: str | EmbedderModelClass | None = None,
    **arguments: Any,
) -> BGEM3FlagModel:
    """Open a model of BGE-M3's kind, or take one that is open; otherwise as `open_embedder`."""
    if isinstance(model, BGEM3FlagModel):
        return _as_it_is(model, model_class, arguments)
    if isinstance(model, AbsEmbedder):
        raise TypeError(f"{model!r} has no sparse vectors; pass a BGEM3FlagModel, or the name of one")
    if model_class not in (None, _M3, _M3.value):
        raise ValueError(f"model_class={quoted(model_class)} has no sparse vectors; {_M3.value!r} has")
    opened: BGEM3FlagModel = _opened(FlagAutoModel, {}, EmbedderModelClass, model, _M3, arguments)
    return opened


def open_reranker(
    model: str | os.PathLike[str] | AbsReranker,
    model_class: str | RerankerModelClass | None = None,
    **arguments: Any,
) -> AbsReranker:
    """Open a reranker, or take one that is open; otherwise as `open_embedder`.

    Args:
        model: a hub id, a folder, or a reranker.
        model_class: as for `FlagAutoReranker.from_finetuned`: ``"encoder-only-base"``, ``"decoder-only-base"``,
            ``"decoder-only-layerwise"`` or ``"decoder-only-lightweight"``.
        **arguments: of the class.
    """
    if isinstance(model, AbsReranker):
        return _as_it_is(model, model_class, arguments)
    opened: AbsReranker = _opened(
        FlagAutoReranker, AUTO_RERANKER_MAPPING, RerankerModelClass, model, model_class, arguments
    )
    return opened


def described(model: AbsEmbedder | AbsReranker) -> dict[str, Any]:
    """What opens an equal model, for files: ``model`` (the name), ``model_class``, and ``arguments`` of that class.

    Raises:
        ValueError: a class of somebody's own, which no ``model_class`` stands for.
    """
    tables: tuple[Mapping[Any, type], ...] = (EMBEDDER_CLASSES, RERANKER_CLASSES)
    classes = {one: key for table in tables for key, one in table.items()}
    if type(model) not in classes:
        raise ValueError(f"{model!r} is of a class that model_class= has no name for; keep it by pickle")
    return {
        "model": model.model_name_or_path,
        "model_class": classes[type(model)].value,
        "arguments": model.arguments(),
    }


def _as_it_is(model: M, model_class: Any, arguments: Mapping[str, Any]) -> M:
    named = [*(["model_class"] if model_class is not None else []), *arguments]
    if named:
        raise TypeError(f"{model!r} is open already: pass {', '.join(named)} where it is opened, or a name here")
    return model


def _opened(
    auto: Any, table: Mapping[str, Any], classes: Any, model: Any, model_class: Any, arguments: Mapping[str, Any]
) -> Any:
    if not isinstance(model, str | os.PathLike):
        what = "an embedder" if classes is EmbedderModelClass else "a reranker"
        raise TypeError(f"model={quoted(model)} is not a name, a folder or {what} of bge_fast")
    name = os.fspath(model)
    known = model_class is not None or table_name(name) in table
    try:
        return auto.from_finetuned(name, model_class if known else _ENCODER, **arguments)
    except ModelFormatError as error:
        if not known:
            values = ", ".join(repr(one.value) for one in classes)
            error.add_note(f"{name} is no known name, so {_ENCODER!r} was tried; pass model_class= one of {values}")
        raise
