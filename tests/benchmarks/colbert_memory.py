"""Memory of one `encode` with multi-vectors: `colbert_memory.py <checkpoint> <texts> <Cranfield>`. Prints MB and seconds."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import memory
import texts

from bge_fast import BGEM3FlagModel

# As many batches as open the sessions for bulk work.
_BATCHES = 32


def main() -> None:
    folder, count, cranfield = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    source = texts.load(cranfield, count)
    before = memory.private()
    model = BGEM3FlagModel(str(folder), devices="cpu", return_colbert_vecs=True)
    opened = memory.private() - before
    # Of different lengths, two a batch: padded and other batches take forms of the graph of their own.
    lengths = [f"{'a ' * (number % 5)}{number}" for number in range(3 * _BATCHES)]
    for batch_size in (1, 2):
        model.encode(lengths, batch_size=batch_size)
    weights = memory.private() - before
    memory.forget_peak()
    resident = memory.resident()
    start = time.perf_counter()
    with memory.Watch() as watch:
        result = model.encode(source.passages)
    seconds = time.perf_counter() - start
    vectors = [result["dense_vecs"], *result["colbert_vecs"]]
    found = {
        "opened": opened,
        "weights": weights,
        "peak": watch.most - before,
        "resident": memory.peak() - resident,
        "result": sum(array.nbytes for array in vectors) / 1e6,
        "vectors": sum(map(len, result["colbert_vecs"])),
        "seconds": seconds,
    }
    print(json.dumps({**found, "origin": source.origin}))


if __name__ == "__main__":
    main()
