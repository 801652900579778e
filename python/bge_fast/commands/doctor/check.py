"""What ``bge-fast doctor`` looks at: each check is a function that returns a `Check`."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bge_fast.commands.output import shorten_home

Status = Literal["ok", "warn", "error", "skip"]
INSTALL_GPU = 'pip install "bge-fast[gpu]"'
REINSTALL = "pip install --force-reinstall bge-fast"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    id: str
    status: Status
    fact: str
    remedy: str | None = None
    """For a warning or an error: the command that repairs it."""

    def as_json(self) -> dict[str, Any]:
        """The fields, with paths under the home folder shortened."""
        return {name: value and shorten_home(value) for name, value in asdict(self).items()}
