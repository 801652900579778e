"""Why a request gets no result, in the words and with the status that clients know."""

import logging
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bge_fast.errors import BGEFastError, CallTimeoutError, QueueFullError

_log = logging.getLogger("bge_fast.server")
_RETRY_AFTER = {"Retry-After": "1"}
# What text-embeddings-inference calls them.
_TYPES = {413: "validation", 422: "tokenizer", 424: "backend", 429: "overloaded", 503: "unhealthy", 500: "internal"}
_OPENAI_TYPES = {429: "rate_limit_error", 424: "server_error", 500: "server_error", 503: "server_error"}
_SERVER_ERROR = 500


class Refusal(Exception):
    """A request that gets no result: status and reason."""

    def __init__(self, status: int, reason: str, *, parameter: str | None = None, code: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.parameter, self.code = status, reason, parameter, code


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of an error of the model, or of a fault here."""
    match error:
        case Refusal():
            return error
        case HTTPException():
            return Refusal(error.status_code, error.detail)
        case QueueFullError():
            return Refusal(429, str(error))
        case CallTimeoutError() | MemoryError() | BGEFastError():
            _log.error("a call failed: %s", error)
            return Refusal(424, str(error) or "there is not enough memory for this request")
        case TypeError() | ValueError():
            return Refusal(422, str(error))
    _log.error("a request failed", exc_info=error)
    return Refusal(_SERVER_ERROR, "a fault of the server; its log says more")


def response_of(refusal: Refusal, path: str) -> Response:
    """The refusal in the shape of the API that was called: OpenAI's under ``/v1`` and ``/v2``."""
    headers = _RETRY_AFTER if refusal.status in (429, 503) else None
    content = _openai(refusal) if "/v1/" in path or "/v2/" in path else _tei(refusal)
    return Response(msgspec.json.encode(content), refusal.status, headers, "application/json")


def _openai(refusal: Refusal) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(refusal.status, "invalid_request_error")
    facts = {"message": refusal.reason, "type": kind, "param": refusal.parameter, "code": refusal.code}
    return {"error": facts}


def _tei(refusal: Refusal) -> dict[str, Any]:
    return {"error": refusal.reason, "error_type": _TYPES.get(refusal.status, "validation")}


async def refuse(request: Request, error: Exception) -> Response:
    """Answer a request that went wrong before or outside of a model."""
    response = response_of(refusal_of(error), request.url.path)
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    return response
