"""After ``import bge_fast.as_flagembedding``, FlagEmbedding's import path gives these classes, and the rest of it itself."""

import importlib.metadata
import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import bge_fast
import bge_fast.as_flagembedding
from tests.support.checkpoints import ROOT, checkpoint

RECORDED = json.loads((ROOT / "tests" / "data" / "flagembedding_modules.json").read_text())
# Parts of what is computed with torch there.
LEFT_OUT = {
    *("last_token_pool", "last_logit_pool", "last_logit_pool_layerwise", "last_logit_pool_lightweight"),
    *("DatasetForReranker", "Collater", "Collater_for_lightweight", "sigmoid"),
}
OF_1_2 = {
    "FlagEmbedding": "FlagModel BGEM3FlagModel FlagICLModel FlagLLMModel FlagReranker FlagLLMReranker",
    "FlagEmbedding.bge_m3": "BGEM3FlagModel",
    "FlagEmbedding.flag_models": "FlagModel FlagICLModel FlagLLMModel",
    "FlagEmbedding.flag_reranker": "FlagReranker FlagLLMReranker LayerWiseFlagLLMReranker LightWeightFlagLLMReranker",
}
OTHER_NAMES = {
    "encoder_only.base.BaseEmbedder": "FlagModel",
    "encoder_only.m3.M3Embedder": "BGEM3FlagModel",
    "decoder_only.base.BaseLLMEmbedder": "FlagLLMModel",
    "decoder_only.icl.ICLLLMEmbedder": "FlagICLModel",
    "decoder_only.pseudo_moe.PseudoMoELLMEmbedder": "FlagPseudoMoEModel",
    "encoder_only.base.BaseReranker": "FlagReranker",
    "decoder_only.base.BaseLLMReranker": "FlagLLMReranker",
    "decoder_only.layerwise.LayerWiseLLMReranker": "LayerWiseFlagLLMReranker",
    "decoder_only.lightweight.LightweightLLMReranker": "LightWeightFlagLLMReranker",
}


@pytest.mark.parametrize("module", RECORDED)
def test_every_module_for_inference_offers_its_names(module):
    names = set(RECORDED[module]) - LEFT_OUT
    offered = import_module(module)
    assert names <= set(offered.__all__)
    for name in names:
        assert getattr(offered, name) is getattr(bge_fast, name, getattr(offered, name))


@pytest.mark.parametrize("module", OF_1_2)
def test_modules_of_1_2_are_there_too(module):
    offered = import_module(module)
    for name in OF_1_2[module].split():
        assert getattr(offered, name) is getattr(bge_fast, name)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_class_of_another_name_is_the_same_object(name):
    kind = "reranker" if "Reranker" in name else "embedder"
    module, _, attribute = f"FlagEmbedding.inference.{kind}.{name}".rpartition(".")
    assert getattr(import_module(module), attribute) is getattr(bge_fast, OTHER_NAMES[name])


def test_a_name_that_is_a_module_and_a_class_is_the_class():
    import FlagEmbedding
    from FlagEmbedding.abc.inference.AbsEmbedder import AbsEmbedder

    assert FlagEmbedding.abc.inference.AbsEmbedder is FlagEmbedding.AbsEmbedder is AbsEmbedder is bge_fast.AbsEmbedder


def test_all_names_come_with_a_star():
    names: dict[str, object] = {}
    exec("from FlagEmbedding import *", names)
    assert names.keys() - {"__builtins__"} == set(import_module("FlagEmbedding").__all__)


def test_tables_hold_the_rows_of_the_auto_classes():
    tables = import_module("FlagEmbedding.inference.embedder.model_mapping")
    families = [name for name in tables.__all__ if name.endswith("_MAPPING") and not name.startswith(("AUTO", "EMBED"))]
    rows = [row for family in families for row in getattr(tables, family)]
    assert sorted(rows) == sorted(bge_fast.AUTO_EMBEDDER_MAPPING)
    assert list(tables.BGE_MAPPING) == tables.support_native_bge_model_list()
    assert tables.AUTO_EMBEDDER_MAPPING is bge_fast.AUTO_EMBEDDER_MAPPING


def test_a_row_that_a_program_adds_is_known(monkeypatch):
    from FlagEmbedding import FlagAutoModel
    from FlagEmbedding.inference.embedder import model_mapping

    row = model_mapping.EmbedderConfig(bge_fast.FlagModel, model_mapping.PoolingMethod.MEAN)
    monkeypatch.setitem(model_mapping.AUTO_EMBEDDER_MAPPING, "tiny-bert", row)
    model = FlagAutoModel.from_finetuned(str(checkpoint("tiny-bert")))
    assert (type(model), model.pooling_method) == (bge_fast.FlagModel, "mean")


def test_isinstance_and_subclasses():
    from FlagEmbedding.abc.inference import AbsEmbedder
    from FlagEmbedding.inference.embedder.encoder_only.base import BaseEmbedder

    class Shouting(BaseEmbedder):
        def __init__(self, name: str, **kwargs: object) -> None:
            super().__init__(name, normalize_embeddings=False, **kwargs)

        def encode(self, sentences: str, *args: object, **kwargs: object) -> object:
            return super().encode(sentences.upper(), *args, **kwargs)

    folder = str(checkpoint("tiny-bert"))
    model = Shouting(folder, batch_size=4)
    assert isinstance(model, AbsEmbedder)
    assert isinstance(model, bge_fast.FlagModel)
    plain = bge_fast.FlagModel(folder, normalize_embeddings=False)
    assert (model.encode_corpus("wing flow") == plain.encode("WING FLOW")).all()


def test_the_module_is_found_and_its_metadata_are_left_alone():
    assert find_spec("FlagEmbedding") is not None
    assert find_spec("FlagEmbedding.inference.embedder.model_mapping") is not None
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("FlagEmbedding")


@pytest.mark.parametrize("module", ["FlagEmbedding.finetune", "FlagEmbedding.abc.evaluation", "FlagEmbedding.utils"])
def test_what_is_not_here_needs_flagembedding_itself(module):
    with pytest.raises(ImportError, match=rf"there is no {module}: .* pip install FlagEmbedding"):
        import_module(module)


def test_a_name_that_is_not_here_says_so_too():
    with pytest.raises(ImportError, match=r"there is no FlagEmbedding\.FlagNothing: "):
        from FlagEmbedding import FlagNothing  # noqa: F401
    with pytest.raises(ImportError, match=r"cannot import name 'LLMEmbedder' from .*as_flagembedding"):
        from FlagEmbedding.flag_models import LLMEmbedder  # noqa: F401


# ── Beside FlagEmbedding itself ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder in which FlagEmbedding lies, and cannot be imported, as with a version of transformers it cannot take."""
    files = {
        "__init__.py": "raise RuntimeError('the real one')",
        "bge_m3.py": "raise RuntimeError('the real one')",
        "finetune/__init__.py": "from FlagEmbedding import FlagModel",
        "finetune/run.py": "from FlagEmbedding.abc.finetune import VALUE",
        "abc/finetune/__init__.py": "VALUE = 7",
        "inference/reranker/decoder_only/models/gemma.py": "VALUE = 8",
    }
    for name, text in files.items():
        file = tmp_path / "FlagEmbedding" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def run(place: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, with a folder before all others."""
    code = f"import sys; sys.path.insert(0, {str(place)!r})\n{program}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_rest_comes_from_flagembedding_where_it_is_installed(installed):
    ended = run(
        installed,
        "import bge_fast, bge_fast.as_flagembedding\n"
        "import FlagEmbedding.finetune.run, FlagEmbedding.inference.reranker.decoder_only.models.gemma as gemma\n"
        "from FlagEmbedding.bge_m3 import BGEM3FlagModel\n"
        "assert FlagEmbedding.finetune.FlagModel is bge_fast.FlagModel\n"
        "assert BGEM3FlagModel is bge_fast.BGEM3FlagModel\n"
        "assert (FlagEmbedding.finetune.run.VALUE, gemma.VALUE) == (7, 8)\n",
    )
    assert ended.returncode == 0, ended.stderr


def test_flagembedding_imported_before_is_an_error(tmp_path):
    (tmp_path / "FlagEmbedding.py").touch()
    ended = run(tmp_path, "import FlagEmbedding, bge_fast.as_flagembedding")
    assert "ImportError: FlagEmbedding was imported before bge_fast.as_flagembedding" in ended.stderr


@pytest.mark.parametrize("between", ["pass", "import FlagEmbedding"])
def test_a_reload_changes_nothing(between):
    """Notebooks reload what they imported: all of it, in any order."""
    ended = run(
        Path.cwd(),
        "import importlib, sys, bge_fast, bge_fast.as_flagembedding as shim\n"
        f"{between}\n"
        "finders = len(sys.meta_path)\n"
        "importlib.reload(shim.finder), importlib.reload(shim)\n"
        "for name in [name for name in sys.modules if name.startswith('bge_fast.as_flagembedding')]:\n"
        "    del sys.modules[name]\n"
        "import bge_fast.as_flagembedding\n"
        "from FlagEmbedding.flag_models import FlagModel\n"
        "assert FlagModel is bge_fast.FlagModel and len(sys.meta_path) == finders\n",
    )
    assert ended.returncode == 0, ended.stderr


def test_nothing_heavy_is_imported_before_somebody_asks():
    ended = run(
        Path.cwd(),
        "import bge_fast.as_flagembedding\n"
        "assert not {'numpy', 'FlagEmbedding', 'bge_fast.models', 'bge_fast._core'} & sys.modules.keys()\n"
        "from FlagEmbedding import FlagModel\n"
        "assert not {'torch', 'transformers', 'huggingface_hub', 'tqdm'} & sys.modules.keys()\n",
    )
    assert ended.returncode == 0, ended.stderr
