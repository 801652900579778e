"""Many clients of one server, each on a connection of its own, as cheap as Python makes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Load:
    """What clients saw: how many answers of each status, seconds of each answer, and requests that had none."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    """Clients that were not let in any more."""


def run(port: int, clients: int, requests: int, text: Callable[[int], str]) -> Load:
    """``requests`` of ``/embed`` by so many clients; none waits for another."""
    load = Load()

    async def all_clients() -> None:
        numbers = iter(range(requests))
        await asyncio.gather(*(_client(port, numbers, text, load) for _ in range(clients)))

    asyncio.run(all_clients())
    return load


async def _client(port: int, numbers: object, text: Callable[[int], str], load: Load) -> None:
    connection = None
    for number in numbers:  # type: ignore[attr-defined]
        began = time.perf_counter()
        try:
            connection = connection or await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            load.refused += 1
            return
        try:
            status, closes = await _post(*connection, json.dumps({"inputs": text(number)}).encode())
        except (OSError, asyncio.IncompleteReadError) as error:
            load.lost.append(f"{type(error).__name__}: {error}")
            return
        load.statuses[status] += 1
        load.seconds.append(time.perf_counter() - began)
        if closes:
            connection[1].close()
            connection = None
    if connection:
        connection[1].close()
        with contextlib.suppress(OSError):
            await connection[1].wait_closed()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bool]:
    head = f"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    writer.write(head + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12]), b"connection: close" in head
