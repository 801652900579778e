"""The main job on a real model: export a checkpoint, encode passages, answer questions. Run it with `make demo`."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from bge_fast import FlagModel
from bge_fast.models import KnownModel, known_model

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
EXPORTER = ROOT / ".venv-export" / "bin" / "bge-fast-export"
# Real weights that a Python package carries, for machines that cannot reach the hub.
FALLBACK = ROOT / ".venv" / "all-MiniLM-L6-v2"


def export(checkpoint: str) -> Path | None:
    """Make a model folder of the checkpoint, unless it was made before; `None` where the export fails."""
    folder = ROOT / "build" / "demo" / Path(checkpoint.rstrip("/")).name
    if not (folder / "bge_fast.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([EXPORTER, checkpoint, "-o", folder, "--precision", "fp32"], check=False)
        if done.returncode:
            return None
    return folder


def lines(name: str) -> list[str]:
    """Read an example file."""
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def answer(folder: Path) -> None:
    """Encode the passages, then search them for each question."""
    known = known_model(folder.name) or KnownModel("cls")
    start = time.perf_counter()
    instruction = known.query_instruction or None
    model = FlagModel(str(folder), pooling_method=known.pooling, query_instruction_for_retrieval=instruction)
    opened = time.perf_counter()
    passages, questions = lines("passages.txt"), lines("questions.txt")
    passage_vectors = model.encode_corpus(passages)
    encoded = time.perf_counter()
    print(f"\nopened {folder.name} in {opened - start:.2f} s, encoded {len(passages)} passages in", end=" ")
    print(f"{encoded - opened:.2f} s, {model.info()['device']}, pooling {model.pooling_method}\n")
    for question in questions:
        start = time.perf_counter()
        scores = model.encode_queries(question) @ passage_vectors.T
        milliseconds = (time.perf_counter() - start) * 1000
        print(f"{question}   ({milliseconds:.1f} ms)")
        for place in scores.argsort()[::-1][:2]:
            print(f"    {scores[place]:.3f}  {passages[place]}")


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint: a folder or a hub id")
    parser.add_argument("--or-fallback", action="store_true", help="where it cannot be had, take all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    folder = export(arguments.model)
    if folder is None and arguments.or_fallback:
        print(f"demo: {arguments.model} cannot be had, so the real all-MiniLM-L6-v2 is taken instead", file=sys.stderr)
        folder = export(str(FALLBACK))
    if folder is None:
        return 1
    answer(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
