"""One run of the command, and where the checkpoints are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "checkpoints"
REAL_MODELS = ROOT.parent / "shared" / "data" / "models"

TINY = ("tiny-bert", "tiny-xlmr")
RERANKERS = ("tiny-reranker", "tiny-reranker-bert")
EVERY_KIND = (*TINY, "tiny-m3", *RERANKERS)


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


def kind_in(folder: Path) -> tuple[str, list[str]]:
    """Kind and outputs that the manifest names."""
    manifest = json.loads((folder / "bge_fast.json").read_text(encoding="utf-8"))
    (graph,) = [entry for name, entry in manifest["graphs"].items() if name == "onnx/model.onnx"]
    return manifest["kind"], list(graph["outputs"])


def edit_config(folder: Path, **changes: object) -> None:
    """Change `config.json`; None takes a key away."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
