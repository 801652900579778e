"""The models of a server: under which names, and which of them a request means."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from bge_fast import AbsEmbedder, AbsReranker, BGEM3FlagModel
from bge_fast.server.refusals import Refusal

Kind = Literal["embedder", "m3", "reranker"]
_CALLED: dict[Kind, str] = {"embedder": "embedder", "m3": "BGE-M3 model", "reranker": "reranker"}


class Models:
    """Opened models by name; a request that names none gets the first of the kind it needs."""

    def __init__(self, models: Iterable[Any] | Mapping[str, Any]) -> None:
        named = models.items() if isinstance(models, Mapping) else [(_name_of(model), model) for model in models]
        self.by_name: dict[str, Any] = {}
        self._kinds: dict[str, Kind] = {}
        for name, model in named:
            if name in self.by_name:
                apart = (
                    "give one of the folders another name, or in Python name them apart: create_app({name: model, …})"
                )
                raise ValueError(f"two models are called {name!r}; {apart}")
            self.by_name[name], self._kinds[name] = model, _kind_of(name, model)
        if not self.by_name:
            raise ValueError("a server needs at least one model")

    def kind(self, name: str) -> Kind:
        """What a model is."""
        return self._kinds[name]

    def find(self, asked: str | None, *kinds: Kind) -> tuple[str, Any]:
        """Name and model that a request means: by the name, or where one of them has an owner by what follows it.

        So ``bge-m3`` means ``BAAI/bge-m3`` and the other way round, but ``other/bge-m3`` does not.

        Raises:
            Refusal: no model has the name, or the one that has it is of another kind.
        """
        if asked is None:
            name = next((name for name in self.by_name if self.kind(name) in kinds), None)
            if name is None:
                raise Refusal(422, f"this server has no {_either(kinds)}; it has {self._listed()}", parameter="model")
        else:
            name = asked if asked in self.by_name else self._by_last_part(asked)
            if self.kind(name) not in kinds:
                wrong = f"{name} is no {_either(kinds)} but a model of the kind {self.kind(name)!r}"
                raise Refusal(422, f"{wrong}; this server has {self._listed()}", parameter="model")
        return name, self.by_name[name]

    def _by_last_part(self, asked: str) -> str:
        found = [name for name in self.by_name if asked == _last_part(name) or _last_part(asked) == name]
        if len(found) != 1:
            wrong = f"there is no model {asked!r:.200} here" if not found else f"{asked!r:.200} means several models"
            reason = f"{wrong}; this server has {self._listed()}"
            raise Refusal(404, reason, parameter="model", code="model_not_found")
        return found[0]

    def _listed(self) -> str:
        return ", ".join(f"{name} ({self.kind(name)})" for name in self.by_name)


def _kind_of(name: str, model: Any) -> Kind:
    if isinstance(model, BGEM3FlagModel):
        return "m3"
    if isinstance(model, AbsEmbedder):
        return "embedder"
    if isinstance(model, AbsReranker):
        return "reranker"
    raise TypeError(f"{name} is {type(model).__name__}, not an opened embedder or reranker of bge_fast")


def _name_of(model: Any) -> str:
    path = str(getattr(model, "model_name_or_path", type(model).__name__))
    # Of a folder its own name, which says nothing about where it lies.
    return _last_part(path) if os.path.isdir(path) else path


def _last_part(name: str) -> str:
    return os.path.basename(os.path.normpath(name))


def _either(kinds: tuple[Kind, ...]) -> str:
    return " or ".join(_CALLED[kind] for kind in kinds)
