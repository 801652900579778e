"""What every request for a model goes through: read, let in, answered, counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
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
_WATCHED_AFTER = 0.05
"""Seconds until it is of interest whether the client is still there."""
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
                with _HangUp(request):
                    result = await answer(self.models, self.limits, _named(request, asked))
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


class _HangUp:
    """Ends what a task does within it when the client goes away, as `ClientDisconnect`.

    Most answers are there before anybody could go away: only who waits for longer is watched.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._watch: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_WATCHED_AFTER, self._start)

    def _start(self) -> None:
        self._watch = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self._gone and isinstance(error, asyncio.CancelledError):
            if self._task is not None:
                self._task.uncancel()
            raise ClientDisconnect from error
