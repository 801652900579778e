"""From a name to a model that runs as sentence-transformers runs it."""

import os
from pathlib import Path
from typing import Any

from bge_fast import AbsEmbedder
from bge_fast.integrations.opening import open_embedder
from bge_fast.integrations.sentence_transformers.settings import Settings, settings_of
from bge_fast.known import known_model

# Arguments of sentence-transformers' constructors that mean nothing here, with what to do instead.
_ELSEWHERE = {
    "modules": "for modules there is BGEModule, in the real SentenceTransformer",
    "revision": "download that revision and pass its folder",
    "token": "log in with `hf auth login`, or set HF_TOKEN",
    "use_auth_token": "log in with `hf auth login`, or set HF_TOKEN",
    "local_files_only": "set HF_HUB_OFFLINE=1",
    "model_kwargs": "pass the model class's own arguments, such as precision=",
    "processor_kwargs": "set max_seq_length",
    "tokenizer_kwargs": "set max_seq_length",
    "config_kwargs": "edit the folder's config.json",
}


def checked_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments for the model class; those that say which engine runs a model are dropped.

    Raises:
        TypeError: one that would change the result and cannot be honoured.
    """
    for name, remedy in _ELSEWHERE.items():
        if arguments.pop(name, None):
            raise TypeError(f"{name}= is not for bge-fast: {remedy}")
    return {name: value for name, value in arguments.items() if name not in ("backend", "model_card_data")}


def model_with_settings(model: Any, arguments: dict[str, Any]) -> tuple[AbsEmbedder, Settings]:
    """Open a name as its files say: pooling, normalization, linear layers. A model that is open stays as it is."""
    if isinstance(model, AbsEmbedder):
        return open_embedder(model, **arguments), Settings()
    name = os.fspath(model)
    row = known_model(name)
    if row is not None or arguments.get("model_class") is None:
        # Without 1_Pooling, sentence-transformers takes the mean.
        arguments = {"pooling_method": row.pooling if row else "mean", **arguments}
    if Path(name).is_dir() and settings_of(Path(name)).dense:
        arguments = {"dense": True, **arguments}
    opened: Any = open_embedder(name, **arguments)
    settings = settings_of(Path(opened.info()["folder"]))
    if settings.dense and not getattr(opened, "dense", False):
        opened.close()
        opened = open_embedder(name, **arguments, dense=True)
    opened.pooling_method = opened.info()["declared_pooling"] or opened.pooling_method
    opened.normalize_embeddings = settings.normalizes
    return opened, settings
