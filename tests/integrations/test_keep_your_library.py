"""Libraries that import FlagEmbedding by name run on these classes, unchanged, and without torch where they have none.

Numbers are compared with those of a model that is opened here, to the bit.
"""

import inspect
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import bge_fast
import bge_fast.as_flagembedding
from tests.support.checkpoints import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:max_length=8192 is lowered")

QUERY = "flow of heat"
TEXTS = ["boundary layer of wings", "heat transfer in flow", "wing"]
M3, RERANKER = str(checkpoint("tiny-m3")), str(checkpoint("tiny-reranker-bert"))


@pytest.fixture(scope="module")
def m3() -> bge_fast.BGEM3FlagModel:
    return bge_fast.BGEM3FlagModel(M3)


@pytest.fixture(scope="module")
def scores() -> list[float]:
    """Of the texts for the query."""
    return bge_fast.FlagReranker(RERANKER).compute_score([(QUERY, text) for text in TEXTS])


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A folder with the tiny checkpoints under names that the auto classes know."""
    for name, tiny in {"bge-m3": M3, "bge-reranker-base": RERANKER}.items():
        (tmp_path / name).symlink_to(tiny)
    return tmp_path


@pytest.fixture(autouse=True)
def without_torch():
    yield
    assert "torch" not in sys.modules


# ── pymilvus-model ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def milvus_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It looks for packages that FlagEmbedding needs, and has pip install what it does not find. None of them is used."""
    missing = [name for name in ("peft", "datasets", "transformers") if find_spec(name) is None]
    for name in missing:
        (tmp_path / f"{name}.py").write_text("AutoTokenizer = AutoConfig = None")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("pymilvus.model.utils.prompt_install", pytest.fail)
    yield
    for name in missing:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("milvus_installs_nothing")
def test_milvus_m3(m3):
    from pymilvus.model.hybrid import BGEM3EmbeddingFunction

    function = BGEM3EmbeddingFunction(M3, device="cpu", return_colbert_vecs=True)
    assert type(function.model) is bge_fast.BGEM3FlagModel
    assert function.dim == {"dense": 32, "colbert_vecs": 32, "sparse": len(m3.tokenizer)}
    found = function.encode_documents(TEXTS)
    wanted = m3.encode(TEXTS, return_sparse=True, return_colbert_vecs=True)
    assert np.array_equal(found["dense"], wanted["dense_vecs"])
    of_texts = [found["sparse"][[place]].tocsr() for place in range(len(TEXTS))]
    rows = [dict(zip(map(str, row.indices), row.data, strict=True)) for row in of_texts]
    assert rows == wanted["lexical_weights"]
    assert all(map(np.array_equal, found["colbert_vecs"], wanted["colbert_vecs"]))


@pytest.mark.usefixtures("milvus_installs_nothing")
def test_milvus_reranker(known):
    from pymilvus.model.reranker import BGERerankFunction

    function = BGERerankFunction(str(known / "bge-reranker-base"), device="cpu", batch_size=2)
    ranked = [(one.index, one.score, one.text) for one in function(QUERY, TEXTS)]
    normalized = bge_fast.FlagReranker(RERANKER, normalize=True, query_max_length=256).rank(QUERY, TEXTS)
    assert ranked == [(one.position, one.score, TEXTS[one.position]) for one in normalized]


# ── LlamaIndex ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_llama_index_reranker(scores):
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
    from llama_index.postprocessor.flag_embedding_reranker import FlagEmbeddingReranker

    reranker = FlagEmbeddingReranker(model=RERANKER, top_n=3)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    found = reranker.postprocess_nodes(nodes, QueryBundle(QUERY))
    assert [(one.text, one.score) for one in found] == sorted(zip(TEXTS, scores, strict=True), key=lambda one: -one[1])
    (alone,) = reranker.postprocess_nodes(nodes[:1], query_str=QUERY)
    assert alone.score == scores[0]


# It leaves the file open that it reads.
@pytest.mark.filterwarnings("ignore:.*multi_embed_store.pkl:pytest.PytestUnraisableExceptionWarning")
def test_llama_index_m3_index_is_kept_and_loaded_again(tmp_path, m3):
    from llama_index.core import Document
    from llama_index.indices.managed.bge_m3 import BGEM3Index

    documents = [Document(text=text) for text in TEXTS]
    index = BGEM3Index.from_documents(documents, model_name=M3, weights_for_different_modes=[0.4, 0.2, 0.4])
    found = [(one.text, one.score) for one in index.as_retriever(similarity_top_k=3).retrieve(QUERY)]
    index.persist(persist_dir=str(tmp_path / "index"))
    loaded = BGEM3Index.load_from_disk(str(tmp_path / "index"), M3, weights_for_different_modes=[0.4, 0.2, 0.4])
    assert [(one.text, one.score) for one in loaded.query(QUERY, top_k=3)] == found
    pairs = [(QUERY, text) for text in TEXTS]
    wanted = m3.compute_score(pairs, weights_for_different_modes=[0.4, 0.2, 0.4])["colbert+sparse+dense"]
    assert dict(found) == pytest.approx(dict(zip(TEXTS, wanted, strict=True)), abs=1e-6)


# ── The calls of libraries whose own dependencies are too many, as they stand in their sources ────────────────────────


def test_autorag(scores):
    """AutoRAG 0.3.27: ``nodes.passagereranker.flag_embedding`` passes what the constructor's signature names."""
    from FlagEmbedding import FlagLLMReranker, FlagReranker

    asked = {"use_fp16": True, "normalize": False, "top_k": 3, "model_name_or_path": "another"}
    for kind in (FlagReranker, FlagLLMReranker):
        taken = {name: asked[name] for name in inspect.signature(kind.__init__).parameters if name in asked}
        assert taken == {"use_fp16": True, "normalize": False, "model_name_or_path": "another"}
    model = FlagReranker(model_name_or_path=RERANKER, use_fp16=True, normalize=False)
    found = model.compute_score(sentence_pairs=[[QUERY, text] for text in TEXTS])
    assert not hasattr(found, "tolist")
    assert found == scores


@pytest.mark.parametrize("sparse", [False, True])
def test_xinference_embeds(m3, sparse):
    """xinference 4.1.0: ``model.embedding.flag.core``."""
    from FlagEmbedding import BGEM3FlagModel
    from FlagEmbedding.inference.embedder.model_mapping import support_native_bge_model_list

    assert "bge-m3" in support_native_bge_model_list()
    model = BGEM3FlagModel(M3, device="cpu", trust_remote_code=False, return_sparse=sparse)
    assert len(model.tokenizer(TEXTS)["input_ids"]) == 3
    found = model.encode(TEXTS, **({"return_sparse": True} if sparse else {}))
    wanted = m3.encode(TEXTS, return_sparse=sparse)
    if sparse:
        assert found["lexical_weights"] == wanted["lexical_weights"]
    else:
        assert [row.tolist() for row in found["dense_vecs"]] == wanted["dense_vecs"].tolist()


@pytest.mark.parametrize(
    ("name", "folder"),
    [("FlagLLMReranker", "decoder-reranker-gemma"), ("LayerWiseFlagLLMReranker", "decoder-layerwise")],
)
def test_xinference_reranks(name, folder):
    """xinference 4.1.0: ``model.rerank.sentence_transformers.core``."""
    model = getattr(import_module("FlagEmbedding"), name)(str(checkpoint(folder)), use_fp16=True)
    found = model.compute_score([[QUERY, text] for text in TEXTS])
    assert found == getattr(bge_fast, name)(str(checkpoint(folder))).compute_score([[QUERY, text] for text in TEXTS])
    assert len(model.tokenizer(TEXTS).input_ids) == 3


@pytest.mark.parametrize("sparse", [False, True])
def test_lazyllm(known, m3, sparse):
    """LazyLLM 1.4.0: ``components.deploy.embed`` sends JSON."""
    FlagEmbedding = import_module("FlagEmbedding")
    model = FlagEmbedding.FlagAutoModel.from_finetuned(str(known / "bge-m3"), use_fp16=False, devices=["cpu"])
    found, wanted = model.encode(TEXTS, return_sparse=sparse), m3.encode(TEXTS, return_sparse=sparse)
    if sparse:
        weights = json.loads(json.dumps([dict(one) for one in found["lexical_weights"]], default=float))
        assert weights == wanted["lexical_weights"]
    else:
        assert json.loads(json.dumps(found["dense_vecs"].tolist())) == wanted["dense_vecs"].tolist()
