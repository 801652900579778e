"""The competitors' processes, as the driver sees them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Entry:
    """A row of the tables: its label, its class in `competitors.py`, its environment, and what it opens."""

    label: str
    competitor: str
    environment: str
    needs_checkpoint: bool = False

    @property
    def python(self) -> Path:
        return ROOT / self.environment / "bin" / "python"


OURS = Entry("bge-fast", "Ours", ".venv")
RAW = Entry("onnxruntime, bare session", "Raw", ".venv-peers")
ST_ONNX = Entry("sentence-transformers, ONNX", "SentenceTransformers", ".venv-peers")
ST_TORCH = Entry("sentence-transformers, torch", "SentenceTransformersTorch", ".venv-peers", needs_checkpoint=True)
FLAG_EMBEDDING = Entry("FlagEmbedding", "FlagEmbedding", ".venv-parity", needs_checkpoint=True)
ENTRIES = (OURS, RAW, ST_ONNX, ST_TORCH, FLAG_EMBEDDING)


class Worker:
    """One competitor's process."""

    def __init__(self, entry: Entry, model: Path, checkpoint: Path, logs: Path) -> None:
        self.label = entry.label
        self._log = logs / f"{entry.competitor}.log"
        command = [entry.python, HERE / "worker.py", entry.competitor, model, checkpoint]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
        self.facts: dict[str, str] = self._read()["facts"]

    def prepare(self, job: str, texts: list[str]) -> dict[str, Any]:
        """Make a job; returns its facts."""
        return self._ask({"job": job, "texts": texts})["facts"]

    def run(self, job: str, repeats: int = 1, rows: int = 0) -> dict[str, Any]:
        """Run a prepared job: `seconds` of each repeat, `peak` memory in MB, first `rows` vectors of the last."""
        return self._ask({"job": job, "repeats": repeats, "rows": rows})

    def stop(self) -> None:
        """Let the process end."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            last = (self._log.read_text().strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{self.label} ended: {last}")
        return json.loads(line)


@dataclass
class Fleet:
    """The workers of a run. A competitor that cannot run has its reason in `absent`."""

    model: Path
    ours: Path
    checkpoint: Path
    logs: Path
    workers: dict[str, Worker] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def start(self, entries: tuple[Entry, ...]) -> dict[str, Worker]:
        """Start those of `entries` that are not running; returns all of them that run, by label."""
        for entry in entries:
            if entry.label in self.workers or entry.label in self.absent:
                continue
            if not entry.python.is_file():
                self.absent[entry.label] = f"not installed (make {_target(entry)})"
            elif entry.needs_checkpoint and not (self.checkpoint / "config.json").is_file():
                self.absent[entry.label] = "skipped: the checkpoint is not on this machine"
            else:
                self._start(entry)
        return {entry.label: self.workers[entry.label] for entry in entries if entry.label in self.workers}

    def fresh(self, entry: Entry) -> Worker:
        """A process that has done nothing yet; the caller stops it."""
        return Worker(entry, self.ours if entry is OURS else self.model, self.checkpoint, self.logs)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers.values():
            worker.stop()

    def _start(self, entry: Entry) -> None:
        try:
            self.workers[entry.label] = self.fresh(entry)
        except RuntimeError as error:
            if entry is OURS:
                raise
            self.absent[entry.label] = f"not usable: {error}"


def _target(entry: Entry) -> str:
    return "setup" if entry is OURS else "bench-peers"
