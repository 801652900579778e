"""The files that FlagEmbedding's evaluation leaves: rankings, figures, and the table of all of them."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

NO_RERANKER = "NoReranker"
_FIGURES = Path("EVAL", "eval_results.json")
Figures = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
"""Model → reranker → dataset and split → metric."""


@dataclass(frozen=True)
class Names:
    """What a ranking is filed under."""

    eval_name: str
    model_name: str
    reranker_name: str
    split: str
    dataset_name: str | None

    @property
    def key(self) -> str:
        """Dataset and split, as files and columns are called."""
        return f"{self.dataset_name}-{self.split}" if self.dataset_name else self.split

    def of_reranker(self, name: str) -> "Names":
        """The same, reranked."""
        return replace(self, reranker_name=name)

    def folder(self, output_dir: Path) -> Path:
        """Where the files of a model and its reranker lie."""
        return output_dir / self.model_name / self.reranker_name


@dataclass(frozen=True)
class Named:
    """A ranking and what it is filed under."""

    names: Names
    results: dict[str, dict[str, float]]

    @property
    def key(self) -> str:
        """Dataset and split."""
        return self.names.key

    def folder(self, output_dir: Path) -> Path:
        """Where its files lie."""
        return self.names.folder(output_dir)

    def write(self, output_dir: Path) -> None:
        """Write ``OUTPUT_DIR/MODEL/RERANKER/[DATASET-]SPLIT.json``."""
        _write_json(
            self.folder(output_dir) / f"{self.key}.json", {**asdict(self.names), "search_results": self.results}
        )


def read(output_dir: Path, names: Names) -> dict[str, dict[str, float]] | None:
    """The ranking that is filed under ``names``; ``None`` where there is none.

    Raises:
        ValueError: the file says that it is of another evaluation.
    """
    file = names.folder(output_dir) / f"{names.key}.json"
    if not file.is_file():
        return None
    stored = _read_json(file)
    results: dict[str, dict[str, float]] = stored.pop("search_results")
    for name, wanted in asdict(names).items():
        if stored.get(name) != wanted:
            raise ValueError(
                f"{file} has {name} {stored.get(name)!r}, not {wanted!r}. Overwrite it, or name another output folder"
            )
    return results


def add_figures(folder: Path, key: str, figures: Mapping[str, float]) -> None:
    """Put the figures of a dataset and split into ``EVAL/eval_results.json``."""
    file = folder / _FIGURES
    before = _read_json(file) if file.is_file() else {}
    _write_json(file, {**before, key: dict(figures)})


def all_figures(output_dir: Path) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Of all models and rerankers that have files there."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for file in sorted(output_dir.glob(f"*/*/{_FIGURES}")):
        reranker = file.parent.parent
        found.setdefault(reranker.parent.name, {})[reranker.name] = _read_json(file)
    return found


def table(figures: Figures, metrics: Sequence[str]) -> str:
    """FlagEmbedding's Markdown: of each metric a table, in percent, the best of each column in bold."""
    columns = sorted({key for rerankers in figures.values() for found in rerankers.values() for key in found})
    return "".join(_table_of(figures, metric, columns) for metric in metrics)


def _table_of(figures: Figures, metric: str, columns: list[str]) -> str:
    rows = {
        (model, reranker): _row([found.get(column, {}).get(metric) for column in columns])
        for model, rerankers in figures.items()
        for reranker, found in rerankers.items()
    }
    best = [
        max((value for value in column if value is not None), default=None)
        for column in zip(*rows.values(), strict=True)
    ]
    bold = [next((row for row, values in rows.items() if values[place] == one), None) for place, one in enumerate(best)]
    lines = [f"## {metric}\n", f"| Model | Reranker | {' | '.join(['average', *columns])} |"]
    lines.append(f"| :---- | :---- | {' | '.join(':---:' for _ in ['average', *columns])} |")
    for row, values in rows.items():
        cells = [_cell(value, row == first) for value, first in zip(values, bold, strict=True)]
        lines.append(f"| {row[0]} | {row[1]} | " + "".join(f"{cell} | " for cell in cells))
    return "\n".join([*lines, "\n"])


def _row(values: list[float | None]) -> list[float | None]:
    """The values behind their mean, which there is where none of them lacks."""
    known = [value for value in values if value is not None]
    return [sum(known) / len(known) if len(known) == len(values) else None, *values]


def _cell(value: float | None, best: bool) -> str:
    if value is None:
        return "-"
    return f"**{value * 100:.3f}**" if best else f"{value * 100:.3f}"


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}. Remove it, or overwrite the results") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file} is not a JSON object. Remove it, or overwrite the results")
    return value


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value, indent=4), encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
