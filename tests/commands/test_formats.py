"""What files hold: lines, JSONL, JSON, CSV, TSV, in gzip too; what is none of them is refused with the way out."""

import gzip
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker
from bge_fast.commands.cli import main
from bge_fast.commands.foreign import InputError
from bge_fast.commands.texts import TextReader
from tests.support.checkpoints import checkpoint

TEXTS = ["a wing, in a slipstream", 'he said "lift"', "two\nlines", "边界层", ""]
RECORDS = [{"id": str(place), "text": text} for place, text in enumerate(TEXTS)]
CSV = 'id,text\r\n0,"a wing, in a slipstream"\r\n1,"he said ""lift"""\r\n2,"two\nlines"\r\n3,边界层\r\n4,\r\n'
ARRAY = json.dumps(RECORDS)
JSONL = "".join(json.dumps(record) + "\n" for record in RECORDS)

READ = {
    "docs.csv": CSV,
    "docs.CSV": CSV,
    "marked.csv": "\ufeff" + CSV,
    "semicolons.csv": CSV.replace(",", ";").replace("a wing; in", "a wing, in"),
    "tabs.csv": CSV.replace(",", "\t").replace("a wing\t in", "a wing, in"),
    "docs.tsv": CSV.replace(",", "\t").replace("a wing\t in", "a wing, in"),
    "blank lines.csv": "\n" + CSV + "\n\n",
    "array.json": ARRAY,
    "indented.json": "\n" + json.dumps(RECORDS, indent=2),
    "of lines.json": JSONL,
    "strings.json": json.dumps(TEXTS),
    "docs.jsonl": JSONL,
    "docs.ndjson": JSONL,
    "no suffix of lines": JSONL,
    "no suffix of an array": ARRAY,
    "indented array.txt": json.dumps(RECORDS, indent=1),
    "objects.txt": "\n\n" + JSONL,
}


def written(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder / name)


def texts(file: str, field: str | None = None, form: str | None = None) -> list[str]:
    return [text.text for text in TextReader([file], field, form)]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("packed", [False, True])
def test_each_format_gives_its_texts(tmp_path: Path, name: str, packed: bool) -> None:
    content = READ[name].encode()
    file = written(tmp_path, name + ".gz" * packed, gzip.compress(content) if packed else content)
    assert texts(file) == TEXTS


@pytest.mark.parametrize("name", ["docs.csv", "array.json", "docs.jsonl", "strings.json"])
def test_embed_and_rerank_read_them(tmp_path: Path, tiny_bert: Path, bert: FlagModel, name: str, capsys) -> None:
    file, out = written(tmp_path, name, READ[name]), tmp_path / "out.npy"
    assert main(["embed", str(tiny_bert), file, "-o", str(out)]) == 0
    assert np.allclose(np.load(out), bert.encode(TEXTS), atol=2e-6)
    reranker = str(checkpoint("tiny-reranker"))
    assert main(["rerank", reranker, "lift", "--passages", file, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    best = FlagReranker(reranker).rank("lift", TEXTS)
    assert [one["passage"]["text"] for one in results] == [TEXTS[place] for place, _ in best]
    assert main(["search", str(tiny_bert), "lift", "--passages", file, "--json", "--top", "9"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert sorted(one["passage"]["text"] for one in results) == sorted(TEXTS)


@pytest.mark.parametrize("content", [JSONL, ARRAY, json.dumps(RECORDS, indent=2)])
@pytest.mark.parametrize("packed", [False, True])
def test_through_a_pipe(tmp_path: Path, tiny_bert: Path, bert: FlagModel, content: str, packed: bool) -> None:
    out = tmp_path / "out.npy"
    command = [sys.executable, "-m", "bge_fast", "embed", str(tiny_bert), "-o", str(out)]
    sent = gzip.compress(content.encode()) if packed else content.encode()
    assert subprocess.run(command, input=sent, check=False).returncode == 0
    assert np.allclose(np.load(out), bert.encode(TEXTS), atol=2e-6)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", 'id;body\n1;"x; y"\n2;z\n'),
        ("d.tsv", "id\tbody\n1\tx; y\n2\tz\n"),
        ("table.txt", "id,body\n1,x; y\n2,z\n"),
        ("d.json", '[{"text": "no", "body": "x; y"}, {"body": "z"}]'),
        ("d.jsonl", '{"body": "x; y"}\n{"body": "z"}\n'),
        ("d", '{"text": "no", "body": "x; y"}\n{"body": "z"}\n'),
    ],
)
def test_field_names_the_text(tmp_path: Path, name: str, content: str) -> None:
    assert texts(written(tmp_path, name, content), "body") == ["x; y", "z"]


def test_rows_keep_their_columns_and_places(tmp_path: Path) -> None:
    read = list(TextReader([written(tmp_path, "d.csv", CSV)]))
    assert [text.record for text in read] == RECORDS
    assert [text.line for text in read] == [2, 3, 4, 6, 7], "a row begins where its first line is"
    assert read[3].place.endswith("d.csv:6")
    array = list(TextReader([written(tmp_path, "a.json", ARRAY)]))
    assert [text.line for text in array] == [1, 2, 3, 4, 5]
    assert array[1].place.endswith("a.json: element 2")


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    text = "heat " * 100_000
    assert texts(written(tmp_path, "d.csv", f"text\n{text}\n")) == [text]


def test_lines_stay_lines(tmp_path: Path) -> None:
    lines = ["", "[1] a citation", "{braces} and more", "a, b, c", "<b>bold</b>", "ORC grammar", '"quoted"', "text"]
    for place in range(1, len(lines)):
        rotated = lines[place:] + lines[:place]
        assert texts(written(tmp_path, "l.txt", "\n".join(rotated) + "\n")) == rotated


@pytest.mark.parametrize("name", ["d", "d.txt", "d.csv", "d.tsv", "d.json", "d.jsonl", "d.gz", "d.csv.gz"])
def test_nothing_holds_no_text(tmp_path: Path, name: str) -> None:
    assert texts(written(tmp_path, name, b"")) == []
    assert texts(written(tmp_path, name, gzip.compress(b""))) == []


def test_a_format_that_was_named_is_taken(tmp_path: Path) -> None:
    assert texts(written(tmp_path, "a", '{"text": "x"}\n'), form="lines") == ['{"text": "x"}']
    assert texts(written(tmp_path, "b.jsonl", "text,id\nx,1\n"), form="csv") == ["x"]
    assert texts(written(tmp_path, "c.html", "<p>x\n"), form="lines") == ["<p>x"]
    assert texts(written(tmp_path, "d", "id\ttext\n1\ta,b\n"), form="tsv") == ["a,b"]


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("a.txt", "wing")
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


REFUSED = {
    "no column.csv": ("id,body\n1,x\n", r":1: no column 'text'; the header has 'id', 'body'.*--field"),
    "no rows.csv": ("id,body\n", r":1: no column 'text'"),
    "no header.csv": ("a wing\nlift\n", r":1: no column 'text'; the header has 'a wing'"),
    "ragged.csv": ("id,text\n1,x\n2,y,z\n", r":3: 3 cells in a table of 2 columns"),
    "twice.csv": ("text,text\nx,y\n", "names the column 'text' twice"),
    "open quote.csv": ('text\n"never closed\n', "not CSV that can be read"),
    "latin.csv": (b"text\ncaf\xe9\n", r":2: not UTF-8"),
    "header.txt": ("id,text\n1,x\n", "looks like the header of a table.*--format csv"),
    "header": ("title\tabstract\nx\ty\n", "looks like the header of a table"),
    "object.json": ('{\n "data": [{"text": "x"}]\n}\n', "one JSON object .'data'..*jq"),
    "broken.json": ('[{"text": "x"},\n{"text"\n', "not JSON: .*line"),
    "numbers.json": ("[1, 2]", "element 1: expected a JSON object, found int"),
    "fields.json": ('[{"title": "x"}]', "element 1: no field 'text'; the object has 'title'"),
    "null.json": ('[{"text": "x"}, {"text": null}]', "element 2: field 'text' is NoneType"),
    "fields": ('{"title": "x"}\n', ":1: no field 'text'; the object has 'title'.*--field"),
    "cut.gz": (gzip.compress(b"wing\n" * 10_000)[:-20], "gzip file is cut short or damaged"),
    "garbled.gz": (b"\x1f\x8b\x08\x00garbage", "gzip file is cut short or damaged"),
    "twice.gz": (gzip.compress(gzip.compress(b"wing")), "compressed with gzip twice.*gzip -dc"),
    "d.parquet": (b"PAR1\x15\x04\x15\nPAR", "Parquet in a pipe or in gzip, or cut short.*name the file itself"),
    "d.arrow": (b"ARROW1\0\0\xff", "an Arrow file"),
    "d.npy": (npy(), "a numpy array"),
    "d.zip": (zipped(), "a zip archive, a spreadsheet"),
    "d.zst": (b"\x28\xb5\x2f\xfd\0\0", "compressed with zstd.*zstd -dc"),
    "d.bz2": (b"BZh91AY&SY\xd9\xa1", "compressed with bzip2"),
    "d.pdf": (b"%PDF-1.7\n", "a PDF document.*pdftotext"),
    "d.db": (b"SQLite format 3\0x", "an SQLite database"),
    "utf16.txt": ("wing\n".encode("utf-16"), "UTF-16.*iconv -f UTF-16"),
    "utf16le.txt": ("wing\n".encode("utf-16-le"), "binary, or text in UTF-16"),
    "d.bin": (b"\0\1\2\n", "is binary"),
    "d.html": ("<p>wing</p>\n", "is markup.*--format lines"),
    "d.xml": ("wing\n", "is markup"),
    "page": ("<!DOCTYPE html>\n<p>wing\n", "is markup"),
    "feed": ('<?xml version="1.0"?>\n', "is markup"),
    "d.yaml": ("text: wing\n", "a file of settings"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_text_is_refused(tmp_path: Path, tiny_bert: Path, capsys, name: str, packed: bool) -> None:
    content, said = REFUSED[name]
    content = content.encode() if isinstance(content, str) else content
    if packed and name.endswith(".gz"):
        pytest.skip("is packed already")
    file = written(tmp_path, name + ".gz" * packed, gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=f"(?s){said}"):
        texts(file)
    if not packed:
        assert main(["embed", str(tiny_bert), file, "-o", str(tmp_path / "out.npy")]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("bge-fast: error: ")
        assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("content", ["wing\n", "id,title\n1,x\n", '"title"\n'])
def test_a_field_that_is_nowhere_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="no column 'text'"):
        texts(written(tmp_path, "d", content), "text")
    with pytest.raises(InputError, match="plain lines, which have no field 'text'"):
        texts(written(tmp_path, "d", content), "text", "lines")


def test_messages_are_short(tmp_path: Path) -> None:
    long = "x" * 100_000
    for content, field in ((f'{{"{long}": 1}}\n', None), ('{"a": "b"}\n', long), (f"{long},a\n1,2\n", "b")):
        with pytest.raises(InputError) as caught:
            texts(written(tmp_path, "d", content), field)
        assert len(str(caught.value)) < 500 + len(str(tmp_path))
