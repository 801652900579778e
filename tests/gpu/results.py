"""What a part found: a row of a table, printed as Markdown when it is known and kept as a line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

NO_GPU = 2


class Results:
    """The rows of one part."""

    def __init__(self, options: argparse.Namespace, part: str) -> None:
        self.part = part
        self.good = True
        self._file: Path = options.out / "results.jsonl"
        self._columns: tuple[str, ...] = ()

    def add(self, ok: bool | None = None, **row: Any) -> None:
        """One row; ``ok`` says whether a goal was met, where there is one."""
        if ok is not None:
            row["ok"] = "yes" if ok else "**NO**"
            self.good &= ok
        if self._columns != tuple(row):
            self._columns = tuple(row)
            print(f"\n| {' | '.join(row)} |\n|{' --- |' * len(row)}")
        print(f"| {' | '.join(_shown(value) for value in row.values())} |", flush=True)
        with self._file.open("a") as file:
            file.write(json.dumps({"part": self.part, **row}, default=str) + "\n")

    def end(self) -> None:
        """Leave the program: status 0 where all goals were met."""
        sys.exit(0 if self.good else 1)


def parse(description: str | None) -> argparse.Namespace:
    """What every part is told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cuda:0", help="cpu tries the programs themselves out")
    parser.add_argument("--models", type=Path, default=Path("build/gpu/models"), help="where checkpoints are made")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="where results are written")
    parser.add_argument("--only", help="parts, or one case of a part")
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    options.dry = options.device == "cpu"
    return options


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return (
            f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2e}" if abs(value) < 1e-3 and value else f"{value:.4g}"
        )
    return str(value).replace("|", "\\|").replace("\n", " ")
