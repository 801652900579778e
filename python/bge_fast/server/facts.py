"""``/info``: what runs here."""

from typing import Any

from bge_fast import __version__
from bge_fast.server.limits import Limits
from bge_fast.server.models import Models

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def info(models: Models, limits: Limits) -> dict[str, Any]:
    """Facts about the first model under the names that text-embeddings-inference uses, and about all of them."""
    listed = [_of(models, name) for name in models.by_name]
    return {
        **listed[0],
        "max_concurrent_requests": limits.max_waiting,
        "max_client_batch_size": limits.max_batch,
        "payload_limit": limits.max_body,
        "auto_truncate": True,
        "version": __version__,
        "models": listed,
    }


def _of(models: Models, name: str) -> dict[str, Any]:
    model, kind = models.by_name[name], models.kind(name)
    facts = model.info()
    length = model.max_length if kind == "reranker" else model.passage_max_length
    described = {} if kind == "reranker" else {"pooling": model.pooling_method, "dimension": facts["dimension"]}
    return {
        "model_id": name,
        "model_sha": facts["commit"],
        "model_dtype": _DTYPES.get(facts["precision"], facts["precision"]),
        "model_type": {("reranker" if kind == "reranker" else "embedding"): described},
        "kind": kind,
        "max_input_length": min(length or facts["max_length"], facts["max_length"]),
        "device": facts["device"],
        "threads": facts["threads"],
    }
