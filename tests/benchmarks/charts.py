"""Draws what `bench.py query bulk --json FILE` measured, as an SVG for the documentation: `charts.py FILE OUTPUT`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

_ROW, _BAR, _TOP, _NAMES, _PANEL, _GAP = 26, 16, 44, 216, 190, 34
# Colours of light and dark pages; the browser chooses.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 } .title { font-weight: 600 } .unit { font-size: 11px; fill: #777 }
.bar { fill: #b9bdc6 } .ours { fill: #3f51b5 }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .unit { fill: #999 } .bar { fill: #5b606b } .ours { fill: #8c9eff }
}"""


class Panel(NamedTuple):
    """One figure of all packages."""

    title: str
    hint: str
    values: dict[str, float]


def panels(results: list[dict[str, Any]]) -> list[Panel]:
    """A query's time, bulk's speed and memory, of the packages that all of them have."""
    query = next(result for result in results if result["title"].startswith("One query"))
    bulk = next(result for result in results if result["title"].startswith("Bulk"))
    return [
        Panel("One query, ms", "p50, less is better", column(query, "p50, ms")),
        Panel("Abstracts a second", "more is better", column(bulk, "texts/s")),
        Panel("Peak memory, MB", "less is better", column(bulk, "peak memory, MB")),
    ]


def column(result: dict[str, Any], name: str) -> dict[str, float]:
    """A column's numbers by package, without rows that say why one did not run."""
    place = result["header"].index(name)
    return {row[0]: float(row[place]) for row in result["rows"] if row[place]}


def draw(shown: list[Panel]) -> str:
    """The panels side by side, a row for each package; labels are numbers, so there are no axes."""
    names = [name for name in shown[0].values if all(name in panel.values for panel in shown)]
    width, height = _NAMES + len(shown) * (_PANEL + _GAP), _TOP + _ROW * len(names) + 6
    parts = [_text(_NAMES - 12, _middle(row), name, "", "end") for row, name in enumerate(names)]
    for place, panel in enumerate(shown):
        parts += _panel(_NAMES + place * (_PANEL + _GAP), panel, names)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, f"<style>{_STYLE}\n</style>", *parts, "</svg>\n"])


def _panel(left: int, panel: Panel, names: Iterable[str]) -> list[str]:
    most = max(panel.values.values())
    parts = [_text(left, 16, panel.title, "title"), _text(left, 32, panel.hint, "unit")]
    for row, name in enumerate(names):
        value = panel.values[name]
        length = max(2, round((_PANEL - 50) * value / most))
        kind = "bar ours" if name == "bge-fast" else "bar"
        top = _TOP + row * _ROW + (_ROW - _BAR) // 2
        parts.append(f'<rect class="{kind}" x="{left}" y="{top}" width="{length}" height="{_BAR}" rx="2"/>')
        parts.append(_text(left + length + 6, _middle(row), f"{value:,.0f}" if value >= 100 else f"{value:.1f}"))
    return parts


def _middle(row: int) -> int:
    return _TOP + row * _ROW + _ROW // 2 + 5


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    measured, output = map(Path, sys.argv[1:])
    output.write_text(draw(panels(json.loads(measured.read_text())["results"])))
