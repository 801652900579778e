"""What takes the results of one run."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bge_fast.commands.texts import Text


class Sink(Protocol):
    """Takes what was computed of the texts of one run, chunk by chunk."""

    def write(self, texts: Sequence[Text], fields: Mapping[str, Any]) -> None:
        """Take the next chunk: a field has one value for each text, such as a row of the matrix ``embedding``."""

    def finish(self) -> None:
        """All chunks are written."""
