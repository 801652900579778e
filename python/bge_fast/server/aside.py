"""What would keep the event loop from other requests is done in a thread."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# Bytes or numbers that take well under a millisecond; below it a thread costs more than it spares.
_SMALL = 16_384


async def aside(size: int, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it here where ``size`` is small, else in a thread."""
    if size <= _SMALL:
        return call(*args, **kwargs)
    return await asyncio.to_thread(call, *args, **kwargs)
