"""The application run by uvicorn, until the process is told to stop."""

import asyncio
import select
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

_GRACE = 0.5
"""Seconds in which idle connections may send one more request before they are closed."""
_MOST_LOOKS = 100
"""How often requests are looked for that came in the last moment."""
_BACKLOG = 2048
_READING_SECONDS = 10
"""A client that reads nothing of its answer for this long does not keep a server that is to stop."""


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


def run(app: Starlette, at: socket.socket, started: Callable[[], None]) -> bool:
    """Serve at a bound socket until SIGTERM or SIGINT; whether what was accepted until then is answered.

    A second SIGINT ends it at once. ``started`` is called once clients can connect.
    """
    server = _Server(app, started)
    server.run([at])
    return not server.force_exit


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
        # Closing alone would reset those that clients have opened and the loop has not taken yet.
        accepted = [connection for listening in sockets or () for connection in _waiting(listening)]
        for server in self.servers:
            server.close()
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        # Whoever is about to send a request on an open connection still gets its answer.
        await asyncio.sleep(_GRACE)
        for _ in range(_MOST_LOOKS):
            if not self._unread():
                break
            await asyncio.sleep(_GRACE / 10)
        leaving = asyncio.create_task(self._leave_those_who_do_not_read())
        await super().shutdown(sockets)
        leaving.cancel()

    async def _leave_those_who_do_not_read(self) -> None:
        """Cut connections of which nothing was taken since the last look."""
        before: dict[Any, int] = {}
        while True:
            unsent = {one: one.transport.get_write_buffer_size() for one in self.server_state.connections}
            for connection, size in unsent.items():
                if 0 < size == before.get(connection):
                    connection.transport.abort()
            before = unsent
            await asyncio.sleep(_READING_SECONDS)

    def _unread(self) -> bool:
        """Whether a request has come on a connection that seems to be idle."""
        poll, idle = select.poll(), list(map(_idle_socket, self.server_state.connections))
        for opened in idle:
            if opened is not None:
                poll.register(opened.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """As uvicorn's own, but does not raise them again once the server has ended."""
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def _idle_socket(connection: Any) -> Any:
    """The socket of a connection without a request that is under way."""
    busy = connection.cycle is not None and not connection.cycle.response_complete
    return None if busy or connection.transport.is_closing() else connection.transport.get_extra_info("socket")


def _waiting(listening: socket.socket) -> list[socket.socket]:
    """Connections that nobody has taken."""
    taken = []
    with suppress(BlockingIOError):
        while True:
            taken.append(listening.accept()[0])
            taken[-1].setblocking(False)
    return taken
