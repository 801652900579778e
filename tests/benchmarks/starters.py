"""One cold start: `starters.py <function> <folder> <text>`. Prints when each step was done, on the system's clock.

Each function is a program as its user would write it, cut into steps by `yield`: import numpy, import the package, open
the model, encode one text; the last step gives the vector. Nothing is imported here that a program of that kind does not need.
"""

import sys
import time


def numpy_alone(folder, text):
    import numpy  # noqa: F401

    yield


def python_alone(folder, text):
    yield


def ours(folder, text, **keywords):
    import numpy  # noqa: F401

    yield
    from bge_fast import FlagModel

    yield
    model = FlagModel(folder, devices="cpu", **keywords)
    yield
    yield model.encode(text)


def ours_low_memory(folder, text):
    return ours(folder, text, low_memory=True)


def ours_bf16(folder, text):
    return ours(folder, text, precision="bf16")


def ours_int8(folder, text):
    return ours(folder, text, precision="int8")


def by_hand(name):
    """A competitor of `engines.py` or `packages.py` as a program; opening and first compilation are one step there."""

    def program(folder, text):
        import numpy  # noqa: F401

        yield
        from importlib import import_module
        from pathlib import Path

        module, _, own = name.rpartition(".")
        competitor = getattr(import_module(module), own)
        yield
        model = competitor(Path(folder))
        yield
        yield model.encode(text)

    return program


def onnxruntime(folder, text):
    import numpy as np

    yield
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    yield
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    session = InferenceSession(f"{folder}/onnx/model.onnx", providers=["CPUExecutionProvider"])
    yield
    ids = np.array([tokenizer.encode(text).ids], np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    first = session.run(None, feeds)[0][0, 0]
    yield first / np.linalg.norm(first)


def fasttextembed(folder, text):
    # It needs no numpy, and its vectors are lists.
    yield
    from fasttextembed import TextEmbedding

    yield
    model = TextEmbedding(f"{folder}/model.fte", f"{folder}/vocab.tsv")
    yield
    yield model.embed_one(text)


def sentence_transformers(folder, text, **keywords):
    import numpy  # noqa: F401

    yield
    from sentence_transformers import SentenceTransformer

    yield
    model = SentenceTransformer(folder, device="cpu", **keywords)
    yield
    yield model.encode(text)


def sentence_transformers_onnx(folder, text):
    return sentence_transformers(folder, text, backend="onnx", model_kwargs={"file_name": "onnx/model.onnx"})


def flag_embedding(folder, text):
    import numpy  # noqa: F401

    yield
    from FlagEmbedding import FlagModel

    yield
    model = FlagModel(folder, use_fp16=False, devices="cpu")
    yield
    yield model.encode(text)


def main():
    name = sys.argv[1]
    program = (by_hand(name) if "." in name else globals()[name])(*sys.argv[2:])
    done = []
    for step in program:
        done.append(time.clock_gettime(time.CLOCK_MONOTONIC))
        if step is not None:
            break
    else:
        step = []
    import json

    import memory

    # The program stands still at its last step, so what it opened is still there.
    numbers = [float(number) for number in step]
    print(json.dumps({"done": done, "private": memory.private(), "peak": memory.peak(), "vector": numbers}))


if __name__ == "__main__":
    main()
