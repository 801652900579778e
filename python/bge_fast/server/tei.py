"""The routes of text-embeddings-inference."""

from typing import Any

import msgspec

from bge_fast.server import bodies
from bge_fast.server.aside import aside
from bge_fast.server.encoding import adapted, is_query, refusing_long, vectors
from bge_fast.server.limits import Limits
from bge_fast.server.models import Models
from bge_fast.server.refusals import Refusal
from bge_fast.server.tokens import described, used

# In JSON 20 kB each, where they have 1,024 numbers.
_MOST_VECTORS = 16_384


async def embed(models: Models, limits: Limits, asked: bodies.Embed) -> bytes:
    """``/embed``: a vector for each text."""
    name, model = models.find(asked.model, "embedder", "m3")
    texts = bodies.listed(asked.inputs, limits.max_batch)
    normalize = True if asked.normalize is None else asked.normalize
    model = adapted(model, dimensions=asked.dimensions, normalize=normalize, truncate=asked.truncate)
    query = is_query(asked.prompt_name, "prompt_name")
    with refusing_long(asked.truncate):
        matrix = await vectors(model, texts, query=query, m3=models.kind(name) == "m3")
    return await aside(matrix.size, _rows, matrix)


async def embed_sparse(models: Models, limits: Limits, asked: bodies.Embed) -> bytes:
    """``/embed_sparse``: BGE-M3's lexical weights of each text."""
    batch = (await _m3(models, limits, asked, sparse=True)).sparse
    return await aside(len(batch.ids), _weights, batch)


async def embed_all(models: Models, limits: Limits, asked: bodies.Embed) -> bytes:
    """``/embed_all``: BGE-M3's vectors of each token but the first."""
    _, model = models.find(asked.model, "m3")
    texts = bodies.listed(asked.inputs, limits.max_batch)
    query = is_query(asked.prompt_name, "prompt_name")
    if (tokens := await aside(sum(map(len, texts)), used, model, texts, query=query)) > _MOST_VECTORS:
        reason = f"inputs have {tokens} tokens, and each is a vector: at most {_MOST_VECTORS} of one request"
        raise Refusal(413, f"{reason}. Send fewer texts at a time", parameter="inputs")
    batch = (await _m3(models, limits, asked, colbert=True)).colbert
    return await aside(batch.vectors.size, lambda: b"[" + b",".join(map(_rows, batch)) + b"]")


async def tokenize(models: Models, limits: Limits, asked: bodies.Tokenize) -> bytes:
    """``/tokenize``: ids and tokens of each text."""
    _, model = models.find(asked.model, "embedder", "m3", "reranker")
    texts = bodies.listed(asked.inputs, limits.max_batch)

    def tokenized() -> bytes:
        return msgspec.json.encode([described(model.tokenizer, text, asked.add_special_tokens) for text in texts])

    return await aside(sum(map(len, texts)), tokenized)


async def _m3(models: Models, limits: Limits, asked: bodies.Embed, **outputs: bool) -> Any:
    _, model = models.find(asked.model, "m3")
    texts = bodies.listed(asked.inputs, limits.max_batch)
    model = adapted(model, dimensions=asked.dimensions, normalize=asked.normalize, truncate=asked.truncate)
    query = is_query(asked.prompt_name, "prompt_name")
    wanted = {"dense": False, "sparse": False, "colbert": False, **outputs}
    with refusing_long(asked.truncate):
        return await model.aencode_vectors(texts, query=query, show_progress_bar=False, **wanted)


def _rows(matrix: Any) -> bytes:
    """Written row by row, so that other threads of Python get their turn."""
    return b"[" + b",".join(msgspec.json.encode(row.tolist()) for row in matrix) + b"]"


def _weights(batch: Any) -> bytes:
    rows = [
        [{"index": index, "value": value} for index, value in zip(ids.tolist(), weights.tolist(), strict=True)]
        for ids, weights in batch
    ]
    return msgspec.json.encode(rows)
