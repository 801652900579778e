"""Whether models still give results: a pass through each, at most once a second."""

import asyncio
import time
from typing import Any

from bge_fast.server.models import Models

_SECONDS = 1.0


class Health:
    """Remembers the last passes; who asks meanwhile waits for the pass that is on its way."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._checked = float("-inf")
        self._failure: str | None = None
        self._pass: asyncio.Task[None] | None = None

    async def failure(self) -> str | None:
        """What is wrong, or ``None``."""
        if self._pass is None and time.monotonic() - self._checked >= _SECONDS:
            self._pass = asyncio.create_task(self._check())
        if self._pass is not None:
            await asyncio.shield(self._pass)
        return self._failure

    async def _check(self) -> None:
        try:
            for name, model in self._models.by_name.items():
                self._failure = await _failure_of(name, model, reranks=self._models.kind(name) == "reranker")
                if self._failure is not None:
                    return
        finally:
            self._checked, self._pass = time.monotonic(), None


async def _failure_of(name: str, model: Any, *, reranks: bool) -> str | None:
    try:
        if reranks:
            await model.arank("health", ["health"])
        else:
            await model.aencode_queries("health")
    except Exception as error:  # whatever it is, the model gives no result
        return f"{name} gives no result: {error or type(error).__name__}"
    return None
