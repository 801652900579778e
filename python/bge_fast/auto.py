"""The class that opens a model, found by the model's name: ``FlagAutoModel`` and ``FlagAutoReranker``."""

import logging
import os
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, Unpack, overload

from bge_fast.errors import quoted
from bge_fast.known import table_name
from bge_fast.mapping import (
    AUTO_EMBEDDER_MAPPING,
    AUTO_RERANKER_MAPPING,
    EMBEDDER_CLASSES,
    RERANKER_CLASSES,
    EmbedderConfig,
    EmbedderModelClass,
    PoolingMethod,
    RerankerConfig,
    RerankerModelClass,
)
from bge_fast.models.cross_encoder import FlagReranker
from bge_fast.models.dense import FlagModel
from bge_fast.models.icl import FlagICLModel
from bge_fast.models.keywords import EmbedderArguments, RerankerArguments
from bge_fast.models.llm import FlagLLMModel
from bge_fast.models.m3 import BGEM3FlagModel
from bge_fast.models.prompted import PromptedReranker
from bge_fast.models.shapes import Devices

_log = logging.getLogger(__name__)
_Base = Literal["encoder-only-base", EmbedderModelClass.ENCODER_ONLY_BASE]
_M3 = Literal["encoder-only-m3", EmbedderModelClass.ENCODER_ONLY_M3]


class FlagAutoModel:
    """Opens an embedder with the class that its name stands for; see `from_finetuned`."""

    def __init__(self) -> None:
        raise OSError("FlagAutoModel has no objects; open a model with FlagAutoModel.from_finetuned(name)")

    @classmethod
    @overload
    def from_finetuned(
        cls,
        model_name_or_path: str,
        model_class: _Base,
        normalize_embeddings: bool = ...,
        use_fp16: bool = ...,
        use_bf16: bool = ...,
        query_instruction_for_retrieval: str | None = ...,
        devices: Devices = ...,
        pooling_method: str | None = ...,
        trust_remote_code: bool | None = ...,
        query_instruction_format: str | None = ...,
        truncate_dim: int | None = ...,
        **kwargs: Unpack[EmbedderArguments],
    ) -> FlagModel: ...
    @classmethod
    @overload
    def from_finetuned(
        cls,
        model_name_or_path: str,
        model_class: _M3,
        normalize_embeddings: bool = ...,
        use_fp16: bool = ...,
        use_bf16: bool = ...,
        query_instruction_for_retrieval: str | None = ...,
        devices: Devices = ...,
        pooling_method: str | None = ...,
        trust_remote_code: bool | None = ...,
        query_instruction_format: str | None = ...,
        truncate_dim: int | None = ...,
        **kwargs: Unpack[EmbedderArguments],
    ) -> BGEM3FlagModel: ...
    @classmethod
    @overload
    def from_finetuned(
        cls,
        model_name_or_path: str,
        model_class: str | EmbedderModelClass | None = ...,
        normalize_embeddings: bool = ...,
        use_fp16: bool = ...,
        use_bf16: bool = ...,
        query_instruction_for_retrieval: str | None = ...,
        devices: Devices = ...,
        pooling_method: str | None = ...,
        trust_remote_code: bool | None = ...,
        query_instruction_format: str | None = ...,
        truncate_dim: int | None = ...,
        **kwargs: Unpack[EmbedderArguments],
    ) -> FlagModel | BGEM3FlagModel | FlagLLMModel | FlagICLModel: ...
    @classmethod
    def from_finetuned(
        cls,
        model_name_or_path: str,
        model_class: str | EmbedderModelClass | None = None,
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        use_bf16: bool = False,
        query_instruction_for_retrieval: str | None = None,
        devices: Devices = None,
        pooling_method: str | None = None,
        trust_remote_code: bool | None = None,
        query_instruction_format: str | None = None,
        truncate_dim: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Open an embedder: a row of `AUTO_EMBEDDER_MAPPING` gives the class, pooling and query format.

        Args:
            model_name_or_path: a folder or hub id; its last component is the name that is looked up, of a
                ``checkpoint-*`` folder that of its parent.
            model_class: the class, whatever the name: a member of `EmbedderModelClass` or its value.
            pooling_method, trust_remote_code, query_instruction_format: ``None`` takes the row's, or with
                ``model_class`` the class's default.
            **kwargs: further arguments of the class.

        Returns:
            The opened model: a `FlagModel`, `BGEM3FlagModel`, `FlagLLMModel` or `FlagICLModel`.

        Raises:
            ValueError: an unknown name or ``model_class``.
            UnsupportedModelError: a class that does not run here; nothing was read.
        """
        config = _embedder_config(model_name_or_path, model_class)
        build: Any = config.model_class
        return build(
            model_name_or_path,
            normalize_embeddings=normalize_embeddings,
            use_fp16=use_fp16,
            use_bf16=use_bf16,
            query_instruction_for_retrieval=query_instruction_for_retrieval,
            query_instruction_format=_filled("query_instruction_format", query_instruction_format, config),
            devices=devices,
            pooling_method=_filled("pooling_method", pooling_method, config),
            trust_remote_code=_filled("trust_remote_code", trust_remote_code, config),
            truncate_dim=truncate_dim,
            **kwargs,
        )


class FlagAutoReranker:
    """Opens a reranker with the class that its name stands for; see `from_finetuned`."""

    def __init__(self) -> None:
        raise OSError("FlagAutoReranker has no objects; open a model with FlagAutoReranker.from_finetuned(name)")

    @classmethod
    def from_finetuned(
        cls,
        model_name_or_path: str,
        model_class: str | RerankerModelClass | None = None,
        use_fp16: bool = False,
        trust_remote_code: bool | None = None,
        **kwargs: Unpack[RerankerArguments],
    ) -> FlagReranker | PromptedReranker:
        """Open a reranker: a row of `AUTO_RERANKER_MAPPING` gives the class.

        Args:
            model_name_or_path: a folder or hub id; its last component is the name that is looked up.
            model_class: the class, whatever the name: a member of `RerankerModelClass` or its value.
            trust_remote_code: accepted, without effect.
            **kwargs: further arguments of the class.

        Returns:
            The opened model: a `FlagReranker`, or one of the decoder-only classes.

        Raises:
            ValueError: an unknown name or ``model_class``.
        """
        config = _reranker_config(model_name_or_path, model_class)
        build: Any = config.model_class
        remote_code = _filled("trust_remote_code", trust_remote_code, config)
        opened: FlagReranker | PromptedReranker = build(
            model_name_or_path, use_fp16=use_fp16, trust_remote_code=remote_code, **kwargs
        )
        return opened


Row = TypeVar("Row", EmbedderConfig, RerankerConfig)
Member = TypeVar("Member", bound=Enum)


def _embedder_config(path: str, model_class: str | EmbedderModelClass | None) -> EmbedderConfig:
    if model_class is None:
        return _row(AUTO_EMBEDDER_MAPPING, path, EmbedderModelClass)
    chosen = EMBEDDER_CLASSES[_member(EmbedderModelClass, model_class)]
    return EmbedderConfig(chosen, PoolingMethod(chosen.DEFAULT_POOLING_METHOD))


def _reranker_config(path: str, model_class: str | RerankerModelClass | None) -> RerankerConfig:
    if model_class is None:
        return _row(AUTO_RERANKER_MAPPING, path, RerankerModelClass)
    return RerankerConfig(RERANKER_CLASSES[_member(RerankerModelClass, model_class)])


def _row(mapping: Mapping[str, Row], path: str, classes: type[Enum]) -> Row:
    name = table_name(os.fspath(path))
    if name in mapping:
        return mapping[name]
    for other, kind, auto in (
        (AUTO_EMBEDDER_MAPPING, "an embedder", FlagAutoModel),
        (AUTO_RERANKER_MAPPING, "a reranker", FlagAutoReranker),
    ):
        if name in other:
            raise ValueError(f"{quoted(name)} is {kind}; open it with {auto.__name__}.from_finetuned")
    raise ValueError(
        f"{quoted(name)} (of {quoted(str(path), 200)}) is not a known model. Pass model_class= one of "
        f"{_values(classes)}, or use a known name: {', '.join(mapping)}"
    )


def _member(classes: type[Member], model_class: Any) -> Member:
    try:
        return classes(model_class)
    except (ValueError, TypeError):
        raise ValueError(f"model_class={quoted(model_class)} is not one of {_values(classes)}") from None


def _values(classes: type[Enum]) -> str:
    return ", ".join(repr(member.value) for member in classes)


def _filled(name: str, value: Any, config: EmbedderConfig | RerankerConfig) -> Any:
    """The caller's value, or the row's where there is none."""
    if value is not None:
        return value
    default = getattr(config, name)
    default = default.value if isinstance(default, Enum) else default
    _log.info("%s is not given: %r is used", name, default)
    return default
