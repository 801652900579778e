"""What every request for a model goes through: read, let in, answered, counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bge_fast.server import bodies
from bge_fast.server.aside import aside
from bge_fast.server.limits import Limits
from bge_fast.server.metrics import Metrics
from bge_fast.server.models import Models
from bge_fast.server.refusals import Refusal, refusal_of, response_of

Body = TypeVar("Body", bound=msgspec.Struct)
Answer = Callable[[Models, Limits, Body], Coroutine[Any, Any, bytes]]
_GONE = 499
"""The status that logs and counters have for clients that went away; nobody is sent it."""
_BODY_SECONDS = 30
"""How long a body may take to come: what never comes must not keep a server that is to stop."""


class Desk:
    """Lets in as many requests as its limits say."""

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.metrics = Metrics()
        self.under_way = 0

    def endpoint(self, of: type[Body], answer: Answer[Body]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that answers bodies of one kind."""

        async def endpoint(request: Request) -> Response:
            began, status = time.perf_counter(), _GONE
            try:
                response = await self._answered(request, of, answer)
                status = response.status_code
            except ClientDisconnect:
                response = Response(status_code=_GONE)
            finally:
                self.metrics.count(request.scope["route"].path, status, time.perf_counter() - began)
            return response

        return endpoint

    async def _answered(self, request: Request, of: type[Body], answer: Answer[Body]) -> Response:
        try:
            self._let_in()
            try:
                body = await _body(request, self.limits.max_body)
                asked = await aside(len(body), bodies.read, body, of)
                result = await _unless_gone(request, answer(self.models, self.limits, _named(request, asked)))
            finally:
                self._let_out()
        except ClientDisconnect:
            raise
        except Exception as error:
            return response_of(refusal_of(error), request.url.path)
        return Response(result, media_type="application/json")

    def _let_in(self) -> None:
        if self.under_way >= self.limits.max_waiting:
            reason = f"{self.under_way} requests are under way, as many as this server takes. Try again later"
            raise Refusal(429, reason, code="overloaded")
        self.under_way += 1
        self.metrics.under_way.set(self.under_way)

    def _let_out(self) -> None:
        self.under_way -= 1
        self.metrics.under_way.set(self.under_way)


def _named(request: Request, asked: Any) -> Any:
    """The body with the model that the address names, where the body names none."""
    if asked.model is None:
        asked.model = request.query_params.get("model")
    return asked


async def _body(request: Request, most: int) -> bytes:
    """The body, of which no more than ``most`` bytes are ever held.

    Raises:
        Refusal: it is larger, or does not come.
    """
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _received(request, most)
    except TimeoutError as error:
        raise Refusal(408, f"the body did not come within {_BODY_SECONDS} seconds") from error


async def _received(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    parts, size = [], int(declared) if declared.isdecimal() else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                break
            parts.append(part)
    if size > most:
        raise Refusal(413, f"the body has more than {most} bytes; send fewer texts at a time")
    return b"".join(parts)


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, bytes]) -> bytes:
    """What ``answer`` gives; it is cancelled when the client goes away.

    Raises:
        ClientDisconnect: it did.
    """
    work, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientDisconnect
    finally:
        for task in (work, gone):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
