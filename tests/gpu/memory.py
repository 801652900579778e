"""The device's memory over many calls of random shapes; a model that is closed gives it back."""

from __future__ import annotations

import ctypes
import gc
import random
import time

from models import path_of, texts_of
from results import Results, parse

from bge_fast import FlagModel

_SECONDS = 40
_CALLS = 10_000
_GROWTH_MIB = 64


def main() -> None:
    options = parse(__doc__)
    results = Results(options, "memory")
    folder = str(path_of(options.models, "tiny" if options.dry else "small"))
    before = used()
    model = FlagModel(folder, devices=options.device, use_fp16=True)
    # What takes memory for good comes first: runs of few texts of each size, and the largest batch there can be.
    for tokens in (16, 32, 64, 128, 256, 512):
        model.encode(texts_of([tokens], seed=1))
        model.encode(texts_of([tokens // 2] * 2, seed=1))
    model.encode(texts_of([512] * 256, seed=1), batch_size=1 << 20)
    begun, draw, calls, marks = used(), random.Random(5), 0, []
    end = time.monotonic() + (2 if options.dry else _SECONDS)
    while time.monotonic() < end and calls < _CALLS:
        lengths = [draw.randint(2, 512) for _ in range(draw.choice((1, 1, 2, 5, 9, 30, 60)))]
        model.encode(texts_of(lengths, seed=draw.randrange(10**6)), batch_size=1 << 20)
        calls += 1
        if calls & (calls - 1) == 0:
            marks.append((calls, used() - before))
    growth = used() - begun
    results.add(growth <= _GROWTH_MIB, calls=calls, opened_MiB=begun - before, growth_MiB=growth, marks=marks)
    model.close()
    del model
    gc.collect()
    results.add(what="after close, MiB above the beginning", MiB=used() - before)
    results.end()


def used() -> int:
    """MiB in use on the first device, by whomever; 0 without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    free, total, context = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
    driver.cuInit(0)
    driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    driver.cuCtxSetCurrent(context)
    driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    return (total.value - free.value) >> 20


if __name__ == "__main__":
    main()
