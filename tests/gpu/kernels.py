"""Which kernel computes attention, by precision, head size and length: ONNX Runtime prints it for each node."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

from models import CHECKPOINTS, path_of
from results import Results, parse

_LENGTHS = (8, 32, 200, 400, 512)
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[4])
from models import texts_of
from bge_fast import FlagModel
model = FlagModel(sys.argv[1], devices=sys.argv[2], precision=sys.argv[3])
for length in map(int, sys.argv[5:]):
    print(f"\\n== {length}", flush=True)
    model.encode(texts_of([length] * 3))
"""


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "kernels")
    sizes = ("tiny",) if options.dry else ("small", "base")
    for folder in (CHECKPOINTS / "tiny-bert", *(path_of(options.models, size) for size in sizes)):
        for precision in ("fp32",) if options.dry else ("fp16", "fp32"):
            here = os.path.dirname(os.path.abspath(__file__))
            command = [sys.executable, "-c", _PROGRAM, str(folder), options.device, precision, here]
            environment = {**os.environ, "ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO": "1"}
            lengths = [str(length) for length in _LENGTHS]
            done = subprocess.run([*command, *lengths], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                results.add(False, model=folder.name, precision=precision, error=done.stderr.strip()[-300:])
                continue
            for part in done.stdout.split("\n== ")[1:]:
                length, _, printed = part.partition("\n")
                kernels = Counter(re.findall(r"SdpaKernel=(\w+)", printed))
                ok = options.dry or (bool(kernels) and "MATH" not in kernels)
                results.add(ok, model=folder.name, precision=precision, tokens=length, kernels=dict(kernels))
    results.end()


if __name__ == "__main__":
    main()
