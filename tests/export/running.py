"""One run of the command, and where the checkpoints are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models"
REAL_MODELS = ROOT.parent / "shared" / "data" / "models"

TINY = ("tiny-bert", "tiny-xlmr")


@dataclass(frozen=True)
class Run:
    """What one run of the command gave."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error line, after checking that it is the last one and the only one."""
        lines = self.err.splitlines()
        errors = [line for line in lines if "error:" in line]
        assert len(errors) == 1, self.err
        assert lines[-1] == errors[0], self.err
        assert "Traceback" not in self.err
        return errors[0]


Command = Callable[..., Run]
