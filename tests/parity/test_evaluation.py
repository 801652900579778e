"""FlagEmbedding's own evaluation code with bge-fast's classes in place of its own (contract section 8).

Needs faiss-cpu and pytrec-eval-terrier. Nothing of bge-fast is changed: a class is put where FlagEmbedding's was.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import FlagEmbedding
import FlagEmbedding.abc.evaluation.runner as runner_module
import pytest
from FlagEmbedding.abc.evaluation import AbsEvaluator, EvalDenseRetriever, EvalReranker
from FlagEmbedding.evaluation.custom import CustomEvalArgs, CustomEvalDataLoader, CustomEvalModelArgs, CustomEvalRunner

import bge_fast
from tests.parity.checkpoints import MODELS, ROOT, find_checkpoint

pytestmark = pytest.mark.timeout(1800)

CRANFIELD = Path(os.environ.get("BGE_FAST_CRANFIELD", ROOT.parent / "shared" / "data" / "cranfield"))
RETRIEVAL = "Represent this sentence for searching relevant passages: "
# FlagEmbedding needs half a second for an abstract; all 1,400 are encoded by bge-fast alone.
ABSTRACTS = 200
OPTIONS: dict[str, Any] = {"use_fp16": False, "devices": "cpu"}
PACKAGES = {"FlagEmbedding": FlagEmbedding, "bge-fast": bge_fast}
Corpus = dict[str, dict[str, str]]
Judgements = dict[str, dict[str, int]]


def read_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Collection:
    """Cranfield in FlagEmbedding's form; with `first`, of so many abstracts and the queries that these answer."""

    def __init__(self, first: int | None = None, *, titles_alone: bool = False) -> None:
        if not (CRANFIELD / "qrels.tsv").is_file():
            pytest.skip(f"the Cranfield collection is not at {CRANFIELD}")
        text = "title" if titles_alone else "text"
        passages = read_lines(CRANFIELD / "corpus.jsonl")[:first]
        self.corpus: Corpus = {
            one["_id"]: {"title": "" if titles_alone else one["title"], "text": one[text]} for one in passages
        }
        self.judgements: Judgements = {}
        with (CRANFIELD / "qrels.tsv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["corpus-id"] in self.corpus:
                    self.judgements.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
        queries = {one["_id"]: one["text"] for one in read_lines(CRANFIELD / "queries.jsonl")}
        self.queries = {key: queries[key] for key in queries if key in self.judgements}

    def write(self, folder: Path) -> Path:
        """The files that FlagEmbedding's loader of custom data reads."""
        folder.mkdir()
        qrels = [
            {"qid": query, "docid": passage, "relevance": grade}
            for query, grades in self.judgements.items()
            for passage, grade in grades.items()
        ]
        files = {
            "corpus.jsonl": [{"id": key, **passage} for key, passage in self.corpus.items()],
            "test_queries.jsonl": [{"id": key, "text": query} for key, query in self.queries.items()],
            "test_qrels.jsonl": qrels,
        }
        for name, rows in files.items():
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder

    def figures(self, results: dict[str, dict[str, float]]) -> dict[str, float]:
        """All of FlagEmbedding's metrics."""
        return dict(AbsEvaluator.compute_metrics(self.judgements, results, [1, 3, 5, 10, 100]))


@pytest.fixture(scope="module")
def small() -> str:
    folder = find_checkpoint("bge-small-en-v1.5")
    if folder is None:
        pytest.skip("checkpoint bge-small-en-v1.5 is absent")
    return str(folder)


def check_rankings(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]], tolerance: float) -> None:
    """The same passages with the same scores; one at the end of a list may be another of nearly the same score."""
    assert ours.keys() == theirs.keys()
    for query, expected in theirs.items():
        last = min(expected.values())
        for passage in expected.keys() | ours[query].keys():
            found = ours[query].get(passage, last), expected.get(passage, last)
            assert abs(found[0] - found[1]) <= tolerance, (query, passage)


# ── the retriever ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_dense_retrieval_gives_the_same_figures(small: str) -> None:
    collection = Collection(ABSTRACTS)
    found = {}
    for name, package in PACKAGES.items():
        model = package.FlagModel(small, query_instruction_for_retrieval=RETRIEVAL, **OPTIONS)
        retriever = EvalDenseRetriever(model, search_top_k=100)
        found[name] = retriever(collection.corpus, collection.queries)
        retriever.stop_multi_process_pool()
        assert str(retriever) == "bge-small-en-v1.5"
    check_rankings(found["bge-fast"], found["FlagEmbedding"], 1e-5)
    ours, theirs = (collection.figures(found[name]) for name in ("bge-fast", "FlagEmbedding"))
    print(f"\nnDCG@10 of {ABSTRACTS} abstracts, {len(collection.queries)} queries: {ours['ndcg_at_10']}", end=" ")
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_ndcg_of_the_whole_collection(small: str) -> None:
    """FlagEmbedding gives 0.4128 for it."""
    collection = Collection()
    assert (len(collection.corpus), len(collection.queries)) == (1400, 225)
    model = bge_fast.FlagModel(small, query_instruction_for_retrieval=RETRIEVAL, **OPTIONS)
    figures = collection.figures(EvalDenseRetriever(model)(collection.corpus, collection.queries))
    print(f"\nnDCG@10 of the whole collection: {figures['ndcg_at_10']}", end=" ")
    assert figures["ndcg_at_10"] == pytest.approx(0.4128, abs=0.0002)


def test_m3_as_a_retriever(tmp_path: Path) -> None:
    """M3 returns a dict, of which FlagEmbedding takes `dense_vecs`; stored embeddings are read again."""
    collection = Collection(100, titles_alone=True)
    found = []
    for package in PACKAGES.values():
        model = package.BGEM3FlagModel(str(MODELS / "tiny-m3"), **OPTIONS)
        folder = str(tmp_path / package.__name__)
        for _ in range(2):
            retriever = EvalDenseRetriever(model, search_top_k=20)
            found.append(retriever(collection.corpus, collection.queries, corpus_embd_save_dir=folder))
            retriever.stop_multi_process_pool()
    for results in found[1:]:
        check_rankings(results, found[0], 1e-5)


def test_what_mteb_assigns() -> None:
    """FlagEmbedding's MTEB code sets attributes between calls. Its package needs mteb; the retriever alone does not."""
    place = Path(FlagEmbedding.__file__).parent / "evaluation" / "mteb" / "searcher.py"
    spec = importlib.util.spec_from_file_location("mteb_searcher", place)
    assert spec is not None
    assert spec.loader is not None
    searcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(searcher)
    titles = [{"title": "", "text": passage["text"]} for passage in Collection(20, titles_alone=True).corpus.values()]
    found = []
    for package in PACKAGES.values():
        model = package.FlagModel(str(MODELS / "tiny-bert"), **OPTIONS)
        retriever = searcher.MTEBEvalDenseRetriever(model)
        retriever.set_instruction("Find: ")
        retriever.set_normalize_embeddings(False)
        found.append((retriever.encode_queries(["cooling delays"]), retriever.encode_corpus(titles)))
        retriever.stop_pool()
        retriever.stop_pool()
        assert retriever.get_instruction() == "Find: "
        assert len(retriever.encode_corpus(titles)) == len(titles)
    for ours, theirs in zip(found[1], found[0], strict=True):
        assert ours.dtype == theirs.dtype
        assert abs(ours - theirs).max() <= 1e-5 * abs(theirs).max()


# ── the reranker ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["tiny-reranker", "tiny-reranker-bert"])
def test_reranking(name: str) -> None:
    """Titles alone: of a cut passage FlagEmbedding with transformers 5 makes other ids (contract 6.3)."""
    collection = Collection(200, titles_alone=True)
    found: list[dict[str, dict[str, float]]] = []
    for package in PACKAGES.values():
        order = {
            query: {key: float(-place) for place, key in enumerate(collection.corpus)} for query in collection.queries
        }
        reranker = EvalReranker(package.FlagReranker(str(MODELS / name), **OPTIONS), rerank_top_k=10)
        found.append(reranker(collection.corpus, collection.queries, order))
        reranker.stop_multi_process_pool()
        assert str(reranker) == name
    check_rankings(found[1], found[0], 1e-4)
    assert collection.figures(found[1]) == pytest.approx(collection.figures(found[0]), abs=1e-5)


# ── the runner ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def put_in_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes FlagEmbedding's runner open the models of a package."""

    def put(package: Any) -> None:
        for name in ("FlagAutoModel", "FlagAutoReranker"):
            monkeypatch.setattr(runner_module, name, getattr(package, name))

    return put


@pytest.mark.filterwarnings("ignore:.* does not know .*accepted without effect")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of FlagEmbedding's runner
@pytest.mark.parametrize("embedder", ["tiny-xlmr", "tiny-m3"])
def test_the_whole_run(tmp_path: Path, put_in_place: Any, embedder: str) -> None:
    """Retrieval, reranking, result folders, figures and the table in Markdown, as from the command line."""
    collection = Collection(200, titles_alone=True)
    data = collection.write(tmp_path / "data")
    written = {}
    for name, package in PACKAGES.items():
        put_in_place(package)
        folder = tmp_path / name
        arguments = CustomEvalArgs(
            eval_name="cranfield",
            dataset_dir=str(data),
            splits=["test"],
            output_dir=str(folder / "results"),
            corpus_embd_save_dir=str(folder / "embeddings"),
            search_top_k=50,
            rerank_top_k=10,
            cache_path=str(tmp_path / "cache"),
            k_values=[1, 10],
            eval_output_path=str(folder / "figures.md"),
            eval_metrics=["ndcg_at_10", "recall_at_10"],
            overwrite=True,
        )
        models = CustomEvalModelArgs(
            embedder_name_or_path=str(MODELS / embedder),
            embedder_model_class="encoder-only-m3" if embedder == "tiny-m3" else "encoder-only-base",
            query_instruction_for_retrieval="Find: ",
            reranker_name_or_path=str(MODELS / "tiny-reranker"),
            reranker_model_class="encoder-only-base",
            use_fp16=False,
            devices=["cpu"],
        )
        CustomEvalRunner(eval_args=arguments, model_args=models).run()
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        figures = [json.loads((folder / path).read_text()) for path in files if path.name == "eval_results.json"]
        results = [json.loads((folder / path).read_text()) for path in files if path.name == "test.json"]
        written[name] = files, figures, results
    ours, theirs = written["bge-fast"], written["FlagEmbedding"]
    assert ours[0] == theirs[0]
    assert len(ours[1]) == len(ours[2]) == 2
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert mine["test"] == pytest.approx(other["test"], abs=1e-5)
    for mine, other in zip(ours[2], theirs[2], strict=True):
        check_rankings(mine.pop("search_results"), other.pop("search_results"), 1e-4)
        assert mine == other


def test_the_loader_reads_what_was_written(tmp_path: Path) -> None:
    collection = Collection(10)
    loader = CustomEvalDataLoader("cranfield", str(collection.write(tmp_path / "data")), str(tmp_path / "cache"))
    assert dict(loader.load_corpus()) == collection.corpus
    assert dict(loader.load_queries()) == collection.queries
