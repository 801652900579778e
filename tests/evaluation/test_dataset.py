"""The two layouts of files, and what is said of files that are not as they should be."""

import json
from pathlib import Path

import pytest

from bge_fast.evaluation import Dataset

CORPUS = [
    {"id": "a", "title": "A title", "text": "one"},
    {"id": "b", "text": " two "},
    {"id": "c", "title": "", "text": ""},
]
QUERIES = [{"id": "q1", "text": "first"}, {"id": "q2", "text": "second"}]
QRELS = [{"qid": "q1", "docid": "a", "relevance": 2}, {"qid": "q1", "docid": "b", "relevance": 0}]


def lines(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def flagembedding(folder: Path, split: str = "test") -> Path:
    lines(folder / "corpus.jsonl", CORPUS)
    lines(folder / f"{split}_queries.jsonl", QUERIES)
    lines(folder / f"{split}_qrels.jsonl", QRELS)
    return folder


def beir(folder: Path, judgements: str) -> Path:
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES)):
        lines(
            folder / f"{name}.jsonl",
            [{**{k: v for k, v in row.items() if k != "id"}, "_id": row["id"]} for row in rows],
        )
    file = folder / judgements
    file.parent.mkdir(exist_ok=True)
    file.write_text("query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\n")
    return folder


def test_flagembeddings_layout(tmp_path: Path) -> None:
    data = Dataset.read(flagembedding(tmp_path, "dev"), "dev")
    assert data.corpus == {"a": "A title one", "b": " two ", "c": ""}
    assert data.queries == {"q1": "first", "q2": "second"}
    assert data.qrels == {"q1": {"a": 2, "b": 0}}


@pytest.mark.parametrize("judgements", ["qrels/test.tsv", "qrels.tsv"])
def test_beirs_layout_has_the_judged_queries_alone(tmp_path: Path, judgements: str) -> None:
    data = Dataset.read(beir(tmp_path, judgements))
    assert data.queries == {"q1": "first"}
    assert data == Dataset(Dataset.read(flagembedding(tmp_path / "x")).corpus, data.queries, {"q1": {"a": 2, "b": 0}})


def test_one_folder_among_several(tmp_path: Path) -> None:
    flagembedding(tmp_path / "part")
    assert Dataset.read(tmp_path, name="part").name == "part"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus.jsonl", '{"id": "a", "text": 1}\n', r"corpus\.jsonl:1: 'text' is int"),
        (
            "corpus.jsonl",
            '{"id": "a", "text": "x"}\n\n{"id": "a", "text": "y"}\n',
            r"corpus\.jsonl:3: the id 'a' comes a sec",
        ),
        ("corpus.jsonl", '{"text": "x"}\n', r"corpus\.jsonl:1: no 'id' or '_id'; there is 'text'"),
        ("corpus.jsonl", "[1]\n", r"corpus\.jsonl:1: list, not a JSON object"),
        ("corpus.jsonl", "{\n", r"corpus\.jsonl:1: not a JSON object"),
        ("corpus.jsonl", "", "0 documents and 2 judged queries"),
        ("test_qrels.jsonl", '{"qid": 1, "docid": 2, "relevance": "x"}\n', r"test_qrels\.jsonl:1: the grade 'x'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    flagembedding(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        Dataset.read(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no dev_qrels\.jsonl or .*qrels/dev\.tsv"):
        Dataset.read(flagembedding(tmp_path), "dev")
