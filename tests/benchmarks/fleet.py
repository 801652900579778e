"""The competitors' processes, as the driver sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Entry:
    """A row of the tables: its label, its class as `module.Class`, its environment, and what it opens."""

    label: str
    competitor: str
    environment: str
    exported: bool = False
    """Whether it opens the exported folder, for the graph that Optimum made, and not the checkpoint."""
    form: str = ""
    """The form of that graph which it opens instead, one of those that `peer_graphs.py` makes."""

    @property
    def python(self) -> Path:
        return ROOT / self.environment / "bin" / "python"

    @property
    def is_ours(self) -> bool:
        return self.environment == ".venv"


OURS = Entry("bge-fast", "competitors.Ours", ".venv")
OURS_BF16 = Entry("bge-fast, bf16", "competitors.OursBf16", ".venv")
OURS_INT8 = Entry("bge-fast, int8", "competitors.OursInt8", ".venv")
OURS_LOW = Entry("bge-fast, low_memory", "competitors.OursLowMemory", ".venv")
OURS_EXPORTED = Entry("bge-fast, exported folder", "competitors.Ours", ".venv", exported=True)
RAW = Entry("onnxruntime, bare session", "competitors.Raw", ".venv-peers", exported=True)
ST_ONNX = Entry("sentence-transformers, ONNX", "competitors.SentenceTransformers", ".venv-peers", exported=True)
ST_TORCH = Entry("sentence-transformers, torch", "competitors.SentenceTransformersTorch", ".venv-peers")
FLAG_EMBEDDING = Entry("FlagEmbedding", "competitors.FlagEmbedding", ".venv-parity")
ENTRIES = (OURS, OURS_EXPORTED, RAW, ST_ONNX, ST_TORCH, FLAG_EMBEDDING)


class Worker:
    """One competitor's process."""

    def __init__(self, entry: Entry, folder: Path, logs: Path) -> None:
        self.label = entry.label
        self._log = logs / f"{entry.label}.log"
        command = [entry.python, HERE / "worker.py", entry.competitor, folder]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )
        self.facts: dict[str, str] = self._read()["facts"]

    def prepare(self, job: str, work: list[Any]) -> dict[str, Any]:
        """Make a job of texts, or of what else it takes; returns its facts."""
        return self._ask({"job": job, "work": work})["facts"]

    def run(self, job: str, repeats: int = 1, rows: int = 0) -> dict[str, Any]:
        """Run a prepared job.

        Returns `seconds` of each repeat, `peak` and `private` memory in MB after them, first `rows` vectors of the last.
        """
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

    exported: Path
    ours: Path
    checkpoint: Path
    logs: Path
    other: Entry | None = None
    """Another build of bge-fast."""
    workers: dict[str, Worker] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    """What each competitor that ran said about itself."""

    def start(self, entries: tuple[Entry, ...]) -> dict[str, Worker]:
        """Start those of `entries` that are not running; returns all of them that run, by label."""
        for entry in entries:
            if entry.label not in self.workers and self.can_run(entry):
                self._start(entry)
        return {entry.label: self.workers[entry.label] for entry in entries if entry.label in self.workers}

    def drop(self, label: str, reason: str) -> None:
        """Stop a worker that cannot do its work."""
        self.absent[label] = reason
        self.workers.pop(label).stop()

    def fresh(self, entry: Entry, folder: Path | None = None) -> Worker:
        """A process that has done nothing yet; the caller stops it."""
        worker = Worker(entry, folder or self.folder(entry), self.logs)
        self.facts[entry.label] = worker.facts
        return worker

    def folder(self, entry: Entry) -> Path:
        """What it opens."""
        if entry.form:
            return self.logs / f"{self.exported.name}-{entry.form}"
        if entry.exported:
            return self.exported
        return self.ours if entry.is_ours or entry is self.other else self.checkpoint

    def can_run(self, entry: Entry) -> bool:
        """Whether it is installed and has something to open; else `absent` says why not."""
        if not entry.python.is_file():
            self.absent[entry.label] = f"not installed (make {'setup' if entry.is_ours else 'bench-peers'})"
        elif entry.form and not (self.folder(entry) / "config.json").is_file():
            self._make_form(entry)
        elif not (self.folder(entry) / "config.json").is_file():
            self.absent[entry.label] = f"skipped: there is no {self.folder(entry)} on this machine"
        return entry.label not in self.absent

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers.values():
            worker.stop()

    def _make_form(self, entry: Entry) -> None:
        print(f"making {self.folder(entry)} …", file=sys.stderr, flush=True)
        try:
            run_script(entry, "peer_graphs.py", entry.form, self.exported, self.folder(entry))
        except RuntimeError as error:
            self.absent[entry.label] = f"no graph for it: {str(error).splitlines()[-1]}"

    def _start(self, entry: Entry) -> None:
        try:
            self.workers[entry.label] = self.fresh(entry)
        except RuntimeError as error:
            if entry is OURS:
                raise
            self.absent[entry.label] = f"not usable: {error}"


def environment() -> dict[str, str]:
    """Variables that every competitor gets: nobody asks the network for anything."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}


def run_script(entry: Entry, script: str, *arguments: object, standard_input: str = "") -> str:
    """The last line that one of the scripts here prints, run to its end in a competitor's environment.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    command = [str(part) for part in (entry.python, HERE / script, *arguments)]
    process = subprocess.run(
        command, env=environment(), input=standard_input, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise RuntimeError(f"{script} ended: {process.stderr.strip()[-2000:]}")
    return process.stdout.strip().rpartition("\n")[2]
