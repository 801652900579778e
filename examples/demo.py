"""The main job on a real model: open a checkpoint, encode passages, answer questions. Run it with `make demo`."""

import argparse
import sys
import time
from pathlib import Path

from bge_fast import FlagModel, ModelNotFoundError
from bge_fast.known import KnownModel, known_model

HERE = Path(__file__).resolve().parent
# Real weights that a Python package carries, for machines that cannot reach the hub.
FALLBACK = HERE.parent / ".venv" / "all-MiniLM-L6-v2"


def open_model(name: str) -> FlagModel:
    """Open a folder or hub id with the pooling and the query instruction that its authors recommend."""
    known = known_model(name) or KnownModel("cls")
    instruction = known.query_instruction or None
    return FlagModel(name, pooling_method=known.pooling, query_instruction_for_retrieval=instruction)


def lines(name: str) -> list[str]:
    """Read an example file."""
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def answer(name: str) -> None:
    """Encode the passages, then search them for each question."""
    start = time.perf_counter()
    model = open_model(name)
    opened = time.perf_counter()
    passages, questions = lines("passages.txt"), lines("questions.txt")
    passage_vectors = model.encode_corpus(passages)
    encoded = time.perf_counter()
    facts = model.info()
    print(
        f"\nopened {facts['checkpoint']} ({facts['source']}) in {opened - start:.2f} s, encoded {len(passages)}",
        end=" ",
    )
    print(f"passages in {encoded - opened:.2f} s, {facts['device']}, pooling {model.pooling_method}")
    for question in questions:
        start = time.perf_counter()
        scores = model.encode_queries(question) @ passage_vectors.T
        milliseconds = (time.perf_counter() - start) * 1000
        print(f"\n{question}   ({milliseconds:.1f} ms)")
        for place in scores.argsort()[::-1][:2]:
            print(f"    {scores[place]:.3f}  {passages[place]}")


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a folder or a hub id")
    parser.add_argument("--or-fallback", action="store_true", help="where it cannot be had, take all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    try:
        answer(arguments.model)
    except ModelNotFoundError as error:
        if not arguments.or_fallback:
            sys.exit(f"demo: {error}")
        print(f"demo: {error}\ndemo: so the real all-MiniLM-L6-v2 is taken instead", file=sys.stderr)
        answer(str(FALLBACK))


if __name__ == "__main__":
    main()
