"""Hybrid retrieval: BGE-M3's dense and lexical scores together, then a reranker. Run it with `make demo`."""

import argparse
from pathlib import Path

from bge_fast import BGEM3FlagModel, FlagReranker

HERE = Path(__file__).resolve().parent
TINY = HERE.parent / "tests" / "checkpoints"
CANDIDATES = 4


def main() -> None:
    """Find candidates by M3, sort them by the reranker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--m3", default=str(TINY / "tiny-m3"), help="a folder or a hub id, such as BAAI/bge-m3")
    parser.add_argument("--reranker", default=str(TINY / "tiny-reranker"), help="such as BAAI/bge-reranker-v2-m3")
    arguments = parser.parse_args()
    is_random = TINY in (Path(arguments.m3).parent, Path(arguments.reranker).parent)
    note = "   (random weights: the steps are real, the order means nothing)" if is_random else ""
    model, reranker = BGEM3FlagModel(arguments.m3), FlagReranker(arguments.reranker)

    passages = (HERE / "passages.txt").read_text(encoding="utf-8").splitlines()
    corpus = model.encode_vectors(passages)
    for question in (HERE / "questions.txt").read_text(encoding="utf-8").splitlines()[:2]:
        query = model.encode_vectors([question], query=True)
        dense = query.dense @ corpus.dense.T
        sparse = query.sparse.dot(corpus.sparse)
        hybrid = (dense + 0.3 * sparse)[0]
        candidates = hybrid.argsort()[::-1][:CANDIDATES]
        print(f"\n{question}{note}")
        for position, score in reranker.rank(question, [passages[place] for place in candidates]):
            place = candidates[position]
            parts = f"dense {dense[0, place]:.3f}  sparse {sparse[0, place]:.3f}"
            print(f"    {score:7.3f}  {parts}  {passages[place]}")


if __name__ == "__main__":
    main()
