"""Adapters in their frameworks: tiny models of each kind, no network."""

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from bge_fast import (
    BGEM3FlagModel,
    FlagICLModel,
    FlagLLMModel,
    FlagLLMReranker,
    FlagModel,
    FlagReranker,
    LayerWiseFlagLLMReranker,
    LightWeightFlagLLMReranker,
)
from tests.support.checkpoints import checkpoint

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"  # is read at import

Kind = tuple[Callable[..., Any], dict[str, Any]]
"""A class, and the keywords that an adapter takes for the same model."""

_INSTRUCTED = {"query_instruction_for_retrieval": "Find it", "query_instruction_format": "Instruct: {}\nQuery: {}"}
_EXAMPLES = {
    "examples_for_task": [{"instruct": "Find it", "query": "wing", "response": "lift"}],
    "query_instruction_format": "<instruct>{}\n<query>{}",
}
EMBEDDERS: dict[str, Kind] = {
    "encoder": (FlagModel, {"model": "tiny-bert", "query_instruction_for_retrieval": "Find: "}),
    "int8": (FlagModel, {"model": "tiny-bert", "precision": "int8"}),
    "M3": (BGEM3FlagModel, {"model": "tiny-m3", "model_class": "encoder-only-m3", "return_sparse": True}),
    "decoder": (FlagLLMModel, {"model": "decoder-qwen2", "model_class": "decoder-only-base", **_INSTRUCTED}),
    "in context": (FlagICLModel, {"model": "decoder-mistral", "model_class": "decoder-only-icl", **_EXAMPLES}),
}
RERANKERS: dict[str, Kind] = {
    "encoder": (FlagReranker, {"model": "tiny-reranker-bert"}),
    "int8": (FlagReranker, {"model": "tiny-reranker-bert", "precision": "int8", "normalize": True}),
    "decoder": (FlagLLMReranker, {"model": "decoder-reranker-gemma", "model_class": "decoder-only-base"}),
    "layerwise": (LayerWiseFlagLLMReranker, {"model": "decoder-layerwise", "model_class": "decoder-only-layerwise"}),
    "lightweight": (
        LightWeightFlagLLMReranker,
        {"model": "decoder-lightweight", "model_class": "decoder-only-lightweight"},
    ),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: Any) -> None:
        raise AssertionError(f"the network is used: {asked[1:]}")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)


@pytest.fixture(params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    """An open embedder of each kind, and the keywords that open an equal one in an adapter."""
    return opened(EMBEDDERS[request.param])


@pytest.fixture(params=RERANKERS)
def reranker(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    return opened(RERANKERS[request.param])


@pytest.fixture
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")))


def opened(kind: Kind) -> tuple[Any, dict[str, Any]]:
    build, keywords = kind
    keywords = {**keywords, "model": str(checkpoint(keywords["model"]))}
    arguments = {name: value for name, value in keywords.items() if name not in ("model", "model_class")}
    return build(keywords["model"], **arguments), keywords
