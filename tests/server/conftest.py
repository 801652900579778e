"""Models and an application that the tests of the server share."""

from typing import Any

import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from bge_fast.server import create_app
from tests.support.checkpoints import checkpoint
from tests.support.serving import Client

QUERY = "Represent this sentence for searching relevant passages: "


@pytest.fixture(scope="session")
def models() -> dict[str, Any]:
    return {
        "tiny-bert": FlagModel(str(checkpoint("tiny-bert")), query_instruction_for_retrieval=QUERY),
        "BAAI/tiny-m3": BGEM3FlagModel(str(checkpoint("tiny-m3"))),
        "tiny-reranker": FlagReranker(str(checkpoint("tiny-reranker"))),
    }


@pytest.fixture(scope="session")
def client(models: dict[str, Any]) -> Client:
    return Client(create_app(models))
