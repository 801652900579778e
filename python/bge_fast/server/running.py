"""The application run by uvicorn, until the process is told to stop."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

_GRACE = 0.5
"""Seconds in which idle connections may send one more request before they are closed."""
_BACKLOG = 2048


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address; 0 is any free port. Nobody can connect before the server runs.

    Raises:
        OSError: the address is no address of this machine, or in use; names it and the remedy.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"--host {host} is no address: {error.strerror or error}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise OSError(f"{host}:{port} cannot be had ({error.strerror}); choose another with --port") from error
    return opened


def run(app: Starlette, at: socket.socket, started: Callable[[], None]) -> None:
    """Serve at a bound socket until SIGTERM or SIGINT; what was accepted until then is answered.

    ``started`` is called once clients can connect.
    """
    _Server(app, started).run([at])


class _Server(uvicorn.Server):
    """Ends without loss, and as done."""

    def __init__(self, app: Starlette, started: Callable[[], None]) -> None:
        self._app, self._tell = app, started
        super().__init__(
            uvicorn.Config(
                self._answered,
                interface="asgi3",
                proxy_headers=False,
                backlog=_BACKLOG,
                access_log=False,
                log_level="warning",
                server_header=False,
                lifespan="off",
                ws="none",
            )
        )

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer; while the server ends, clients are told to send no more on the connection."""

        async def sent(message: Message) -> None:
            if self.should_exit and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, sent)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell so."""
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections; let each that is open have the answer that it waits for, and close."""
        for server in self.servers:
            server.close()
        # Whoever is about to send a request on an open connection still gets its answer.
        await asyncio.sleep(_GRACE)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """As uvicorn's own, but does not raise them again once the server has ended."""
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
