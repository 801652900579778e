"""OpenAI's routes: ``/v1/embeddings`` and ``/v1/models``."""

import base64
from typing import Any

import msgspec

from bge_fast.server import bodies
from bge_fast.server.aside import aside
from bge_fast.server.encoding import adapted, is_query, vectors
from bge_fast.server.limits import Limits
from bge_fast.server.models import Models
from bge_fast.server.refusals import Refusal
from bge_fast.server.tokens import texts_of_ids, used

_FORMATS = ("float", "base64")


async def embeddings(models: Models, limits: Limits, asked: bodies.Embeddings) -> bytes:
    """A vector for each text of ``input``, as numbers or as base64 of little-endian float32."""
    wanted = asked.encoding_format or "float"
    if wanted not in _FORMATS:
        reason = f"encoding_format is {wanted!r:.80}; known are 'float' and 'base64'"
        raise Refusal(422, reason, parameter="encoding_format")
    name, model = models.find(asked.model, "embedder", "m3")
    query = is_query(asked.input_type, "input_type")
    texts = await _texts(model, asked.input, limits)
    adapted_model = adapted(model, dimensions=asked.dimensions)
    matrix = await vectors(adapted_model, texts, query=query, m3=models.kind(name) == "m3")
    tokens = await aside(sum(map(len, texts)), used, model, texts, query=query)
    return await aside(matrix.size, _embeddings, name, matrix, tokens, wanted)


async def _texts(model: Any, given: str | list[str | int | list[int]], limits: Limits) -> list[str]:
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(one, int) for one in given):
        rows: list[Any] = [given]
    else:
        rows = given
    bodies.bounded(rows, limits.max_batch, "input")
    if all(isinstance(one, str) for one in rows):
        return rows
    if all(isinstance(one, list) for one in rows):
        return await aside(sum(map(len, rows)), texts_of_ids, model.tokenizer, rows)
    raise Refusal(422, "input mixes texts and token ids", parameter="input")


def _embeddings(name: str, matrix: Any, tokens: int, wanted: str) -> bytes:
    write = _as_base64 if wanted == "base64" else _as_numbers
    data = [{"object": "embedding", "index": index, "embedding": write(row)} for index, row in enumerate(matrix)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": name, "usage": usage})


def _as_base64(row: Any) -> str:
    return base64.b64encode(row.astype("<f4", copy=False).tobytes()).decode()


def _as_numbers(row: Any) -> msgspec.Raw:
    """Written row by row, so that other threads of Python get their turn."""
    return msgspec.Raw(msgspec.json.encode(row.tolist()))


def listing(models: Models, started: int) -> dict[str, Any]:
    """``GET /v1/models``."""
    return {"object": "list", "data": [one(models, name, started) for name in models.by_name]}


def one(models: Models, name: str, started: int) -> dict[str, Any]:
    """``GET /v1/models/{name}``."""
    found, _ = models.find(name, "embedder", "m3", "reranker")
    return {"id": found, "object": "model", "created": started, "owned_by": "bge-fast", "kind": models.kind(found)}
