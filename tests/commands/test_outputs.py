"""What ``embed`` writes beside float32 and JSONL: narrower numbers, sparse matrices, Parquet; and Parquet that it reads."""

import datetime
import decimal
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import BGEM3FlagModel, FlagModel
from bge_fast.commands import texts
from bge_fast.commands.cli import main
from bge_fast.commands.foreign import InputError
from bge_fast.commands.parquet import schema_of
from bge_fast.commands.texts import TextReader
from tests.support.checkpoints import checkpoint

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TEXTS = ["a wing in a slipstream", "", "boundary layer", "  spaces kept  ", "边界层", "heat transfer " * 30]
TIME = datetime.datetime(2026, 11, 27, 12, 30, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "CHUNK_TEXTS", 4)


@pytest.fixture
def lines(tmp_path: Path) -> str:
    (tmp_path / "lines.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return str(tmp_path / "lines.txt")


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A table whose types JSON has not, in row groups of two."""
    columns = {
        "id": pa.array(range(len(TEXTS)), pa.int32()),
        "text": pa.array(TEXTS, pa.large_string()),
        "when": pa.array([TIME] * len(TEXTS), pa.timestamp("ms", "UTC")),
        "price": pa.array([decimal.Decimal("1.50")] * len(TEXTS)),
        "tags": pa.array([["a"], None, [], ["b", "c"], None, None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "d.parquet", row_group_size=2)
    return str(tmp_path / "d.parquet")


def jsonl(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


# ── narrower numbers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_float16(tiny_bert: Path, bert: FlagModel, lines: str, tmp_path: Path) -> None:
    assert main(["embed", str(tiny_bert), lines, "-o", str(tmp_path / "h.npy"), "--dtype", "float16"]) == 0
    read = np.load(tmp_path / "h.npy")
    assert read.dtype == np.float16
    assert np.abs(read - bert.encode(TEXTS)).max() < 1e-3


def test_int8_is_the_matrix_times_one_factor(tiny_bert: Path, bert: FlagModel, lines: str, tmp_path: Path) -> None:
    assert main(["embed", str(tiny_bert), lines, "-o", str(tmp_path / "i.npy"), "--dtype", "int8"]) == 0
    read, exact = np.load(tmp_path / "i.npy"), bert.encode(TEXTS)
    assert (read.dtype, np.abs(read).max()) == (np.int8, 127)
    factor = 127 / np.abs(exact).max()
    assert np.abs(read - exact * factor).max() <= 0.5 + 1e-3, "rounded, not cut"
    units = read / np.linalg.norm(read.astype(np.float32), axis=1, keepdims=True)
    assert (units * exact).sum(axis=1).min() > 0.999
    assert [path.name for path in tmp_path.iterdir()] == ["lines.txt", "i.npy"] or len(list(tmp_path.iterdir())) == 2


def test_search_takes_int8(tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = jsonl(tmp_path / "p.jsonl", [{"id": n, "text": f"{n} wings of {n * n} bodies"} for n in range(50)])
    out, found = str(tmp_path / "i.npy"), []
    assert main(["embed", str(tiny_bert), file, "-o", out, "--dtype", "int8"]) == 0
    for more in ([], ["--vectors", out]):
        words = ["search", str(tiny_bert), "--passages", file, *more, "--json", "--top", "5", "--instruction", ""]
        assert main([*words, "7 wings of 49 bodies"]) == 0
        found.append([one["passage"]["id"] for one in json.loads(capsys.readouterr().out)["results"]])
    assert found[0][0] == found[1][0] == 7
    assert len({*found[0]} & {*found[1]}) >= 4


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_matrix_of_no_rows(tiny_bert: Path, bert: FlagModel, tmp_path: Path, dtype: str) -> None:
    (tmp_path / "empty.txt").touch()
    words = ["embed", str(tiny_bert), str(tmp_path / "empty.txt"), "-o", str(tmp_path / "o.npy"), "--dtype", dtype]
    assert main(words) == 0
    read = np.load(tmp_path / "o.npy")
    assert (read.shape, read.dtype) == ((0, bert.encode("x").size), np.dtype(dtype))


def test_what_takes_which_dtype(
    tiny_bert: Path, lines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--dtype", "float16"], ["-o", "o.jsonl", "--dtype", "int8"], ["-o", "o.parquet", "--dtype", "int8"]):
        assert main(["embed", str(tiny_bert), lines, *words]) == 1
        assert "--dtype is for .npy files" in capsys.readouterr().err


# ── sparse ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("query", [False, True])
def test_lexical_weights_as_scipy_loads_them(lines: str, tmp_path: Path, query: bool) -> None:
    sparse, model = pytest.importorskip("scipy.sparse"), checkpoint("tiny-m3")
    words = ["embed", str(model), lines, "--sparse", "-o", str(tmp_path / "s.npz"), "--max-length", "16"]
    assert main([*words, *(["--query", "--instruction", ""] if query else [])]) == 0
    read = sparse.load_npz(tmp_path / "s.npz")
    opened = BGEM3FlagModel(str(model))
    wanted = opened.encode_vectors(TEXTS, dense=False, max_length=16, query=query).sparse
    assert wanted is not None
    assert isinstance(read, sparse.csr_array)
    assert (read.shape, read.dtype, read.has_canonical_format) == ((len(TEXTS), wanted.dim), np.float32, True)
    assert np.abs(read - wanted.to_csr()).max() < 1e-6
    assert read.nnz == len(wanted.ids)
    with np.load(tmp_path / "s.npz") as plain:
        assert plain["indices"].dtype == plain["indptr"].dtype == np.int32


def test_a_sparse_matrix_of_no_rows(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    (tmp_path / "empty.txt").touch()
    words = ["embed", str(checkpoint("tiny-m3")), str(tmp_path / "empty.txt"), "--sparse"]
    assert main([*words, "-o", str(tmp_path / "s.npz")]) == 0
    read = sparse.load_npz(tmp_path / "s.npz")
    assert (read.shape[0], read.nnz) == (0, 0)
    assert read.shape[1] > 1000


def test_npz_takes_lexical_weights_alone(lines: str, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--colbert"], ["--sparse", "--colbert"]):
        assert main(["embed", str(checkpoint("tiny-m3")), lines, "-o", "o.npz", *more]) == 1
        assert ".npz takes BGE-M3's lexical weights alone" in capsys.readouterr().err


# ── Parquet in ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_parquet_is_read_by_any_name(tiny_bert: Path, bert: FlagModel, table: str, tmp_path: Path) -> None:
    other = tmp_path / "no suffix"
    other.write_bytes(Path(table).read_bytes())
    assert main(["embed", str(tiny_bert), table, str(other), "-o", str(tmp_path / "o.npy")]) == 0
    assert np.allclose(np.load(tmp_path / "o.npy"), bert.encode(TEXTS * 2), atol=2e-6)
    with open(table, "rb") as redirected:
        command = [sys.executable, "-m", "bge_fast", "embed", str(tiny_bert), "-o", str(tmp_path / "p.npy")]
        assert subprocess.run(command, stdin=redirected, check=False).returncode == 0
    assert len(np.load(tmp_path / "p.npy")) == len(TEXTS)


def test_rows_count_and_keep_their_columns(table: str) -> None:
    read = list(TextReader([table]))
    assert [text.line for text in read] == [1, 2, 3, 4, 5, 6]
    assert read[3].place == f"{table}: row 4"
    assert read[3].record["tags"] == ["b", "c"]
    assert [text.record for text in TextReader([table], only=True)] == [{"text": text} for text in TEXTS]


def test_the_total_of_rows_is_known(table: str) -> None:
    reader = TextReader([table])
    assert [reader.expected(number) for number, _ in enumerate(reader, start=1)] == [len(TEXTS)] * len(TEXTS)


def test_times_and_decimals_become_strings(tiny_bert: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(tiny_bert), table]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (row["when"], row["price"], row["tags"], row["id"]) == (str(TIME), "1.50", ["a"], 0)


def test_bytes_have_no_form_in_json(tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b.parquet"
    pq.write_table(pa.table({"text": ["wing"], "image": [b"\xff"]}), file)
    assert main(["embed", str(tiny_bert), str(file)]) == 1
    assert "b.parquet: row 1: JSON does not hold a value of the row: bytes" in capsys.readouterr().err
    assert main(["embed", str(tiny_bert), str(file), "-o", str(tmp_path / "o.npy")]) == 0
    assert main(["embed", str(tiny_bert), str(file), "-o", str(tmp_path / "o.parquet")]) == 0
    assert pq.read_table(tmp_path / "o.parquet")["image"].to_pylist() == [b"\xff"]


def test_what_is_wrong_with_a_table_is_told(table: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'body'; the table has 'id', 'text'.*--field"):
        list(TextReader([table], "body"))
    with pytest.raises(InputError, match=r"row 1: field 'id' is int, not a string"):
        list(TextReader([table], "id"))
    twice = pa.Table.from_arrays([pa.array(["wing"])] * 3, names=["text", "id", "id"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match=r"twice.parquet: the table has the column 'id' twice"):
        list(TextReader([str(tmp_path / "twice.parquet")]))
    assert len(list(TextReader([str(tmp_path / "twice.parquet")], only=True))) == 1
    whole = Path(table).read_bytes()
    (tmp_path / "broken.parquet").write_bytes(whole[: len(whole) // 2] + b"PAR1")
    with pytest.raises(InputError, match="broken.parquet: not Parquet that can be read"):
        list(TextReader([str(tmp_path / "broken.parquet")]))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + b"x" * 50 + b"PAR1")
    assert schema_of([str(tmp_path / "broken.parquet")]) is None, "left to the reader, which names the file"
    (tmp_path / "cut.parquet").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="cut.parquet is Parquet in a pipe or in gzip, or cut short"):
        list(TextReader([str(tmp_path / "cut.parquet")]))
    (tmp_path / "lines.txt").write_text("wing\n")
    with pytest.raises(InputError, match="not Parquet that can be read"):
        list(TextReader([str(tmp_path / "lines.txt")], form="parquet"))


def test_parquet_without_pyarrow(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    model = str(checkpoint("tiny-bert"))
    (tmp_path / "t.txt").write_text("wing\n")
    for words in ([table], [str(tmp_path / "t.txt"), "-o", str(tmp_path / "o.parquet")]):
        assert main(["embed", model, *words]) == 1
        assert "pip install pyarrow" in capsys.readouterr().err
    assert not (tmp_path / "o.parquet").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """One row group of texts that do not compress: 100 MB, of which reading holds a fraction."""
    drawn = np.random.default_rng(0)
    rows = [drawn.bytes(2500).hex() for _ in range(20_000)]
    pq.write_table(pa.table({"text": rows}), tmp_path / "big.parquet", row_group_size=len(rows), use_dictionary=False)
    program = (
        "import resource, sys, pyarrow.parquet; from bge_fast.commands.texts import TextReader\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak(); count = sum(1 for _ in TextReader([sys.argv[1]])); print(count, peak() - before)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "big.parquet")]
    count, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert count == len(rows)
    assert grown < 40, f"{grown} MB for a file of {os.path.getsize(tmp_path / 'big.parquet') >> 20}"


# ── Parquet out ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_table_keeps_its_columns(tiny_bert: Path, bert: FlagModel, table: str, tmp_path: Path, dtype: str) -> None:
    out = tmp_path / "o.parquet"
    assert main(["embed", str(tiny_bert), table, "-o", str(out), "--dtype", dtype]) == 0
    read, before = pq.read_table(out), pq.read_table(table)
    assert read.drop_columns("embedding").equals(before), "types too"
    vectors = np.stack(read["embedding"].to_numpy())
    assert vectors.dtype == np.dtype(dtype)
    assert np.abs(vectors - bert.encode(TEXTS)).max() < (1e-3 if dtype == "float16" else 2e-6)
    assert read.schema.field("embedding").type.list_size == vectors.shape[1]


def test_lines_and_objects_as_a_table(tiny_bert: Path, lines: str, tmp_path: Path) -> None:
    rows = [{"id": n, "text": "wing", "part": None if n else 0.5, "embedding": "old"} for n in range(9)]
    for file, columns in ((lines, ["text"]), (jsonl(tmp_path / "d.jsonl", rows), ["id", "text", "part"])):
        assert main(["embed", str(tiny_bert), file, "-o", str(tmp_path / "o.parquet")]) == 0
        assert pq.read_table(tmp_path / "o.parquet").column_names == [*columns, "embedding"]
    assert pq.read_table(tmp_path / "o.parquet")["part"].to_pylist() == [0.5, *[None] * 8]


def test_a_table_of_no_rows(tiny_bert: Path, bert: FlagModel, table: str, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(table).slice(0, 0), tmp_path / "none.parquet")
    (tmp_path / "none.txt").touch()
    for name, columns in (("none.parquet", 6), ("none.txt", 1)):
        assert main(["embed", str(tiny_bert), str(tmp_path / name), "-o", str(tmp_path / "o.parquet")]) == 0
        read = pq.read_table(tmp_path / "o.parquet")
        assert (read.num_rows, read.num_columns) == (0, columns)
        assert read.schema.field("embedding").type.list_size == bert.encode("x").size


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"text": "a", "n": 1}] * 5 + [{"text": "b", "n": "x"}], r":6: the field 'n' does not fit a column of int64"),
        ([{"text": "a", "n": 1}] * 5 + [{"text": "b", "n": 1.5}], r":6: the field 'n' does not fit a column of int64"),
        ([{"text": "a"}] * 5 + [{"text": "b", "more": 1}], r":6: the field 'more' is in none of the first texts"),
        ([{"text": "a", "n": 1}, {"text": "b", "n": "x"}], r":2: the field 'n' does not fit a column of int64"),
        (
            [{"text": "a", "n": [1]}] * 5 + [{"text": "b", "n": [1.5]}],
            r":6: the field 'n' does not fit a column of list",
        ),
        (
            [{"text": "a", "n": {"x": 1}}] * 5 + [{"text": "b", "n": {"y": 1}}],
            r":6: the field 'n' does not fit a column",
        ),
        ([{"text": "a", "n": None}] * 5 + [{"text": "b", "n": 1}], r":6: the field 'n' does not fit a column of null"),
    ],
)
def test_values_that_fit_no_column(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], told: str
) -> None:
    file = jsonl(tmp_path / "d.jsonl", rows)
    assert main(["embed", str(tiny_bert), file, "-o", str(tmp_path / "o.parquet")]) == 1
    error = capsys.readouterr().err
    assert told.lstrip(":") in error
    assert file in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]
