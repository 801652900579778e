"""What a measure gives, and how it is printed: Markdown, so that a run can go into the documentation as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """A goal and what was measured."""

    name: str
    goal: str
    measured: str
    met: bool


@dataclass
class Result:
    """One measure's table, targets and notes."""

    title: str
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_absent(self, absent: dict[str, str], labels: Iterable[str]) -> None:
        """A row with the reason for each competitor that did not run."""
        for label in labels:
            if label in absent:
                self.rows.append((label, absent[label], *[""] * (len(self.header) - 2)))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table with aligned columns."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def show(result: Result) -> str:
    """A measure as a section."""
    parts = [f"### {result.title}"]
    if result.rows:
        parts.append(table(result.header, result.rows))
    return "\n\n".join(parts + result.notes)


def show_targets(results: Iterable[Result]) -> str:
    """All targets of a run in one table."""
    rows = [
        (target.name, target.goal, target.measured, "met" if target.met else "**missed**")
        for result in results
        for target in result.targets
    ]
    return "### Targets\n\n" + table(("target", "goal", "measured", ""), rows) if rows else ""
