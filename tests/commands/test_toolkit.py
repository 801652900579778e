"""The verbs around a model: FlagEmbedding's names of options, its files, and runs that go on."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker, mine_hard_negatives
from bge_fast.commands import mine as mine_verb
from bge_fast.commands import progress
from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint

WORDS = ("lift", "drag", "heat flow", "slip flow", "shock waves", "flutter")
TEXTS = [f"{word} of body {number}" for number in range(8) for word in WORDS]
ROWS: list[dict[str, Any]] = [
    {"id": number, "query": f"what is {WORDS[number]}?", "pos": [TEXTS[number]], "neg": [TEXTS[number + 9]]}
    for number in range(6)
]


def lines(file: Path, rows: list[dict[str, Any]]) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return lines(tmp_path / "rows.jsonl", ROWS)


@pytest.fixture
def pool(tmp_path: Path) -> str:
    return lines(tmp_path / "pool.jsonl", [{"text": text} for text in [*TEXTS, TEXTS[0]]])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    lines(folder / "corpus.jsonl", [{"id": f"d{place}", "text": text} for place, text in enumerate(TEXTS)])
    lines(folder / "test_queries.jsonl", [{"id": f"q{row['id']}", "text": row["query"]} for row in ROWS])
    grades = [{"qid": f"q{place % 6}", "docid": f"d{place}", "relevance": 1} for place in range(len(TEXTS))]
    lines(folder / "test_qrels.jsonl", grades)
    return folder


def test_mine_takes_the_names_of_flagembeddings_script(
    tiny_bert: Path, bert: FlagModel, rows: str, pool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mined.jsonl"
    words = ["mine", "--embedder_name_or_path", str(tiny_bert), "--input_file", rows, "--output_file", str(out)]
    options = [
        "--candidate_pool",
        pool,
        "--range_for_sampling",
        "2-30",
        "--negative_number",
        "4",
        "--use_fp16",
        "False",
    ]
    assert main([*words, *options, "--search_batch_size=64", "--use_gpu_for_searching", "False"]) == 0
    expected = list(mine_hard_negatives(bert, ROWS, pool=TEXTS, range=(2, 30), negatives=4))
    assert read(out) == expected
    assert main(["mine", str(tiny_bert), rows, *options]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == expected
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


@pytest.mark.parametrize("reranked", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
def test_mine_shows_a_bar_of_rows_where_somebody_watches(
    tiny_bert: Path,
    rows: str,
    pool: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    pooled: bool,
    reranked: bool,
) -> None:
    """Rows that are read twice, as they are without a pool, count once."""
    monkeypatch.setattr(progress, "DELAY", 0)
    words = ["mine", str(tiny_bert), rows, "--range-for-sampling", "0-9", "--negative-number", "2"]
    words += ["--candidate-pool", pool] if pooled else []
    words += ["--reranker-name-or-path", str(checkpoint("tiny-reranker-bert"))] if reranked else []
    assert main(words) == 0
    assert "row/s" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    assert main(words) == 0
    assert re.search(r"6/6 \[.*row/s", capsys.readouterr().err)


def test_mine_goes_on_where_it_was_interrupted(
    tiny_bert: Path,
    rows: str,
    pool: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "mined.jsonl"
    words = [
        "mine",
        str(tiny_bert),
        rows,
        "--candidate-pool",
        pool,
        "--vectors",
        str(tmp_path / "v.npy"),
        "-o",
        str(out),
    ]
    whole = mine_verb.mine_hard_negatives

    def interrupted(*args: Any, **options: Any) -> Any:
        for number, row in enumerate(whole(*args, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(mine_verb, "mine_hard_negatives", interrupted)
    assert main(words) == 130
    assert not out.exists()
    monkeypatch.setattr(mine_verb, "mine_hard_negatives", whole)
    assert main(words) == 0
    assert "going on after 3 rows" in capsys.readouterr().err
    again = tmp_path / "again.jsonl"
    assert main([*words[:-1], str(again)]) == 0
    assert out.read_bytes() == again.read_bytes()
    assert np.load(tmp_path / "v.npy").shape[0] == len(TEXTS)


def test_a_row_that_cannot_be_mined_is_named_by_its_line(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = lines(tmp_path / "rows.jsonl", [ROWS[0], {"query": "q", "pos": "text"}])
    assert main(["mine", str(tiny_bert), rows, "-o", str(tmp_path / "out.jsonl")]) == 1
    assert "rows.jsonl:2: 'pos' is 'text', not a list of strings" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_score_adds_the_rerankers_scores(rows: str, tmp_path: Path) -> None:
    reranker, out = checkpoint("tiny-reranker-bert"), tmp_path / "scored.jsonl"
    assert main(["score", str(reranker), "--input_file", rows, "--output_file", str(out), "--normalize", "True"]) == 0
    model = FlagReranker(str(reranker))
    for row, scored in zip(ROWS, read(out), strict=True):
        pairs = [(row["query"], text) for text in (*row["pos"], *row["neg"])]
        expected = model.compute_score(pairs, normalize=True)
        assert scored == {**row, "pos_scores": pytest.approx(expected[:1]), "neg_scores": pytest.approx(expected[1:])}


def test_split_writes_a_file_a_range(tiny_bert: Path, bert: FlagModel, tmp_path: Path) -> None:
    long = {**ROWS[0], "pos": ["lift " * 60]}
    source = lines(tmp_path / "in" / "rows.jsonl", [*ROWS, long])
    out = tmp_path / "out"
    words = [
        "split",
        "--model_name_or_path",
        str(tiny_bert),
        "--input_path",
        str(Path(source).parent),
        "--output_dir",
        str(out),
    ]
    assert main([*words, "--length_list", "0", "50", "500"]) == 0
    assert read(out / "rows_len-0-50.jsonl") == ROWS
    assert read(out / "rows_len-50-500.jsonl") == [long]
    assert not (out / "rows_len-500-inf.jsonl").exists()
    (log,) = read(out / ".split_log")
    assert log["split_info"] == {"len-0-50": 6, "len-50-500": 1}
    assert log["size"] == 7
    before = (out / "rows_len-0-50.jsonl").stat().st_mtime_ns
    assert main([*words, "--length_list", "0", "50"]) == 0
    assert (out / "rows_len-0-50.jsonl").stat().st_mtime_ns == before
    assert main([*words, "--length_list", "0", "--overwrite"]) == 0
    assert (out / "rows_len-0-inf.jsonl").exists()


def test_eval_writes_flagembeddings_tree(
    tiny_bert: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reranker = checkpoint("tiny-reranker-bert")
    words = ["eval", "--embedder_name_or_path", str(tiny_bert), "--dataset_dir", str(dataset), "--k_values", "1", "10"]
    words += ["--reranker_name_or_path", str(reranker), "--rerank_top_k", "5", "--output_dir", str(tmp_path / "out")]
    words += ["--eval_output_path", str(tmp_path / "table.md"), "--corpus_embd_save_dir", str(tmp_path / "vectors")]
    assert main(words) == 0
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json")}
    files = [
        f"tiny-bert/{one}/{file}"
        for one in ("NoReranker", reranker.name)
        for file in ("test.json", "EVAL/eval_results.json")
    ]
    assert names == set(files)
    table = (tmp_path / "table.md").read_text()
    assert table.splitlines()[0] == "## ndcg_at_10"
    assert capsys.readouterr().out == table.rstrip("\n") + "\n"
    assert (tmp_path / "vectors" / "tiny-bert" / "doc.npy").is_file()
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.json")}
    assert main([*words, "--overwrite", "True"]) == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["eval"], "name a dataset"),
        (["mine", "m"], "name a file of rows"),
        (["score"], "name a file of rows"),
        (["split", "m", "f"], "name a folder for the parts"),
    ],
)
def test_what_is_not_named_is_asked_for(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["mine", "m", "f", "--range-for-sampling", "9-3"], ["eval", "m", "d", "--overwrite", "perhaps"]]
)
def test_wrong_words_are_wrong_usage(words: list[str]) -> None:
    assert main(words) == 2
