"""Names, order and defaults of all parameters are FlagEmbedding 1.4.2's, and all its names are here."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bge_fast

RECORDED = json.loads((Path(__file__).parent / "data" / "flagembedding_signatures.json").read_text())
# What `from FlagEmbedding import …` offers for inference.
NAMES = """AbsEmbedder AbsReranker FlagAutoModel FlagAutoReranker EmbedderModelClass RerankerModelClass FlagModel
    BGEM3FlagModel FlagICLModel FlagLLMModel FlagPseudoMoEModel FlagReranker FlagLLMReranker LayerWiseFlagLLMReranker
    LightWeightFlagLLMReranker""".split()


def parameters(function: Any) -> list[tuple[str, str, Any]]:
    """Name, kind and default; ours that FlagEmbedding is without are keyword-only."""
    ours = inspect.signature(function).parameters.values()
    return [
        (one.name, one.kind.name, one.default)
        for one in ours
        if one.name != "self" and one.kind is not inspect.Parameter.KEYWORD_ONLY
    ]


@pytest.mark.parametrize(("owner", "method"), [(owner, method) for owner in RECORDED for method in RECORDED[owner]])
def test_signatures_equal_flagembedding(owner, method):
    theirs = [
        (one["name"], one["kind"], one.get("default", inspect.Parameter.empty)) for one in RECORDED[owner][method]
    ]
    assert parameters(getattr(getattr(bge_fast, owner), method)) == theirs


def test_every_name_of_flagembedding_can_be_imported():
    assert set(NAMES) <= set(bge_fast.__all__)


def test_what_is_listed_is_there_and_imported_when_it_is_used():
    for name in bge_fast.__all__:
        assert getattr(bge_fast, name) is not None
    assert dir(bge_fast) == sorted(bge_fast.__all__)
    with pytest.raises(AttributeError, match="FlagNothing"):
        bge_fast.FlagNothing  # noqa: B018
    code = "import sys, bge_fast; sys.exit(any(name.startswith('bge_fast.') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_classes_are_imported_without_torch_and_transformers():
    code = (
        "import sys\nfrom bge_fast import *\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'tqdm', 'scipy', 'pandas'} & sys.modules.keys()\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
