"""The command line: each verb, each exit status, what goes where, and what is left behind."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bge_fast
from bge_fast import FlagModel
from bge_fast.commands import embed as embed_verb
from bge_fast.commands import output, texts
from bge_fast.commands.cli import main
from bge_fast.commands.texts import TextReader
from bge_fast.commands.vectors import NpySink
from tests.support.checkpoints import SOURCES, checkpoint, exported

PROGRAM = [sys.executable, "-m", "bge_fast"]
LINES = ["a wing in a slipstream", "", "boundary layer", "  spaces kept  ", "边界层", "heat transfer " * 30]
ENGLISH = "Represent this sentence for searching relevant passages: "


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps({"_id": n, "text": text}) + "\n" for n, text in enumerate(LINES)))
    return path


def named(folder: Path, name: str, tmp_path: Path) -> Path:
    """A copy of a model folder under a name that the models table may know."""
    return shutil.copytree(folder, tmp_path / name)


def stdin_of(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def same(got: np.ndarray, wanted: np.ndarray) -> bool:
    return got.dtype == np.float32 and got.shape == wanted.shape and np.allclose(got, wanted, atol=2e-6)


# embed


def test_npy_is_what_the_model_gives(tiny_bert: Path, bert: FlagModel, lines: Path, tmp_path: Path) -> None:
    assert main(["embed", str(tiny_bert), "-o", str(tmp_path / "out.npy"), str(lines)]) == 0
    assert same(np.load(tmp_path / "out.npy"), bert.encode(LINES))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_npy_of_many_chunks(
    tiny_bert: Path, bert: FlagModel, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "CHUNK_TEXTS", 4)
    out = tmp_path / "out.npy"
    assert main(["embed", str(tiny_bert), str(lines), str(lines), "-o", str(out)]) == 0
    assert same(np.load(out), bert.encode(LINES * 2))
    assert np.load(out, mmap_mode="r").shape[0] == 12, "the header counts all chunks"


def test_npy_of_nothing_has_the_dimension(tiny_bert: Path, bert: FlagModel, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert main(["embed", str(tiny_bert), str(tmp_path / "empty.txt"), "-o", str(tmp_path / "out.npy")]) == 0
    assert np.load(tmp_path / "out.npy").shape == (0, bert.encode("x").size)


def test_npy_is_not_held_in_memory(tmp_path: Path) -> None:
    chunk = np.ones((1000, 256), dtype=np.float32)
    with (tmp_path / "big.npy").open("wb") as file:
        sink = NpySink(file)
        tracemalloc.start()
        for _ in range(100):
            sink.write([None] * 1000, {"embedding": chunk})  # type: ignore[list-item]
        sink.finish()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 << 20, "100 MB were written"
    stored = np.load(tmp_path / "big.npy", mmap_mode="r")
    assert stored.shape == (100_000, 256)
    assert stored[-1, -1] == 1


def test_input_is_read_as_it_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    read = 0
    read_at_first_call: list[int] = []

    class Endless(io.RawIOBase):
        def isatty(self) -> bool:
            return False

        def __iter__(self) -> "Endless":
            return self

        def __next__(self) -> bytes:
            nonlocal read
            read += 1
            if read > 3 * texts.CHUNK_TEXTS:
                raise StopIteration
            return b"text\n"

    class Model:
        def __enter__(self) -> "Model":
            return self

        def __exit__(self, *_: object) -> None: ...

        def encode_corpus(self, given: list[str], **_: object) -> np.ndarray:
            if given:
                read_at_first_call.append(read)
            return np.zeros((len(given), 2), np.float32)

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Endless(), "isatty": lambda _: False})())
    monkeypatch.setattr(embed_verb, "open_embedder", lambda *_: Model())
    assert main(["embed", "any"]) == 0
    assert read_at_first_call == [texts.CHUNK_TEXTS * n for n in (1, 2, 3)]
    assert capsys.readouterr().out.count("\n") == 3 * texts.CHUNK_TEXTS


def test_jsonl_keeps_the_record(
    tiny_bert: Path, bert: FlagModel, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(tiny_bert), str(records), "--truncate-dim", "8"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["_id"] for row in rows] == list(range(len(LINES)))
    assert [row["text"] for row in rows] == LINES
    bert8 = FlagModel(str(tiny_bert), truncate_dim=8)
    assert same(np.array([row["embedding"] for row in rows], np.float32), bert8.encode(LINES))


def test_stdin_and_field(
    tiny_bert: Path,
    bert: FlagModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stdin_of(monkeypatch, b'\xef\xbb\xbf{"title": "one"}\r\n\n{"title": "two"}')
    out = tmp_path / "out.jsonl"
    assert main(["embed", str(tiny_bert), "--field", "title", "-o", str(out)]) == 0
    assert capsys.readouterr() == ("", "")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["title"] for row in rows] == ["one", "two"]
    assert same(np.array([row["embedding"] for row in rows], np.float32), bert.encode(["one", "two"]))


def test_lines_end_at_newlines_alone(lines: Path) -> None:
    lines.write_bytes("\ufeffone\r\ntwo\u2028still two\x0b\n\nfour".encode())
    assert [text.text for text in TextReader([str(lines)])] == ["one", "two\u2028still two\x0b", "", "four"]


def test_options_reach_the_model(tiny_bert: Path, lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    options = ["--pooling", "mean", "--max-length", "5", "--batch-size", "2", "--threads", "1", "--precision", "fp32"]
    assert main(["embed", *options, "--device", "cpu", str(tiny_bert), str(lines), "-o", str(out)]) == 0
    model = FlagModel(str(tiny_bert), pooling_method="mean", passage_max_length=5)
    assert same(np.load(out), model.encode(LINES))


@pytest.mark.parametrize(
    ("options", "instruction"),
    [
        ([], None),
        (["--query"], ENGLISH),
        (["--query", "--instruction", ""], None),
        (["--query", "--instruction", "find: "], "find: "),
        (["--instruction", "passage: "], "passage: "),
    ],
)
@pytest.mark.exported
@pytest.mark.parametrize("known_by", ["its name", "what it was exported from"])
def test_instruction(lines: Path, tmp_path: Path, options: list[str], instruction: str | None, known_by: str) -> None:
    folder = named(exported("tiny-bert"), "bge-small-en-v1.5" if known_by == "its name" else "renamed", tmp_path)
    if known_by == "what it was exported from":
        manifest = json.loads((folder / "bge_fast.json").read_text())
        manifest["source"]["checkpoint"] = "BAAI/bge-small-en-v1.5"
        (folder / "bge_fast.json").write_text(json.dumps(manifest))
    assert main(["embed", str(folder), str(lines), "-o", str(tmp_path / "out.npy"), *options]) == 0
    wanted = FlagModel(str(folder)).encode(LINES, instruction=instruction)
    assert same(np.load(tmp_path / "out.npy"), wanted)


@pytest.mark.parametrize(("name", "declared"), [("fine-tuned", "mean"), ("gte-small", "cls")])
def test_pooling_by_the_table_then_by_the_files(
    tiny_bert: Path, lines: Path, tmp_path: Path, name: str, declared: str
) -> None:
    folder = named(tiny_bert, name, tmp_path)
    modes = {"pooling_mode_cls_token": declared == "cls", "pooling_mode_mean_tokens": declared == "mean"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    assert main(["embed", str(folder), str(lines), "-o", str(tmp_path / "out.npy")]) == 0
    wanted = FlagModel(str(folder), pooling_method="mean").encode(LINES)
    assert same(np.load(tmp_path / "out.npy"), wanted)


# bad input


BAD_LINES = {
    "not JSON": (b"{'text': 1}", r"not JSON: .* at column 2"),
    "no object": (b'["text"]', "expected a JSON object, found list"),
    "no field": (b'{"title": "x", "_id": 1}', "no field 'text'; the object has 'title', '_id'"),
    "no string": (b'{"text": 5}', "field 'text' is int, not a string"),
    "null": (b'{"text": null}', "field 'text' is NoneType, not a string"),
    "not UTF-8": (b'{"text": "caf\xe9"}', "not UTF-8: byte 0xe9 at position 14"),
    "surrogate": (rb'{"text": "ab\ud800"}', "lone surrogate at character 2"),
    "deep": (b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("case", BAD_LINES)
@pytest.mark.parametrize("out", ["out.npy", "out.jsonl"])
def test_bad_line_is_named_and_nothing_is_left(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, out: str
) -> None:
    line, message = BAD_LINES[case]
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"text": "good"}\n\n' + line + b"\n")
    (tmp_path / out).write_text("what was there before")
    assert main(["embed", str(tiny_bert), str(bad), "-o", str(tmp_path / out)]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(rf"bge-fast: error: {re.escape(str(bad))}:3: .*{message}.*\n", written.err)
    assert (tmp_path / out).read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} == {"bad.jsonl", out}


def test_plain_line_that_is_not_utf8(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin_of(monkeypatch, b"fine\ncaf\xe9\n")
    assert main(["embed", str(tiny_bert)]) == 1
    assert "error: stdin:2: not UTF-8: byte 0xe9 at position 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["absent.txt"], "there is no file absent.txt"),
        (["."], r"\. is a folder"),
        (["a", "-o", "no/x.npy"], "no folder no"),
    ],
)
def test_files_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").touch()
    assert main(["embed", "/no/model", *files]) == 1
    assert re.fullmatch(rf"bge-fast: error: .*{message}.*\n", capsys.readouterr().err)


# exit status


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["unknown"],
        ["embed"],
        ["embed", "m", "--unknown"],
        ["embed", "m", "-o", "out.csv"],
        ["embed", "m", "--device", "tpu"],
        ["embed", "m", "--pooling", "max"],
        ["embed", "m", "--threads", "0"],
        ["search", "m", "query"],
        ["search", "m", "query", "--passages", "p", "--top", "none"],
        ["info"],
        ["doctor", "m", "n"],
    ],
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("usage: bge-fast")


@pytest.mark.parametrize("words", [["--help"], ["embed", "--help"], ["search", "-h"], ["info", "-h"], ["doctor", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: bge-fast")


def test_failure_is_one_line(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["embed", "/no/such/model", str(lines)]
    assert main(words) == 1
    assert re.fullmatch(r"bge-fast: error: .*/no/such/model.*\n", capsys.readouterr().err)
    assert main([*words, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_version_is_quick() -> None:
    code = (
        "import sys; from bge_fast.commands.cli import main; status = main(['--version']); "
        "heavy = {'numpy', 'tqdm', 'huggingface_hub', 'bge_fast._core'} & set(sys.modules); sys.exit(status or str(heavy or ''))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr.strip()) == (f"bge-fast {bge_fast.__version__}\n", "")


def started(words: list[str], **pipes: object) -> "subprocess.Popen[bytes]":
    # Unbuffered output would hide what a buffer does at the end of the process.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen([*PROGRAM, *words], stdin=subprocess.PIPE, env=environment, **pipes)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(tiny_bert: Path, tmp_path: Path, sent: signal.Signals, status: int) -> None:
    running = started(["embed", str(tiny_bert), "-o", str(tmp_path / "out.npy")], stderr=subprocess.PIPE)
    try:
        while not list(tmp_path.iterdir()):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(sent)
        assert running.wait(timeout=60) == status
    finally:
        running.kill()
        _, stderr = running.communicate()
    assert stderr == (b"bge-fast: interrupted\n" if status == 130 else b"")
    assert list(tmp_path.iterdir()) == []


def test_closed_pipe_ends_quietly(tiny_bert: Path, lines: Path) -> None:
    lines.write_text("text\n" * 20_000)
    running = started(["embed", str(tiny_bert), str(lines)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout
    assert json.loads(running.stdout.readline())["text"] == "text"
    running.stdout.close()
    running.stdout = None
    _, stderr = running.communicate(timeout=120)
    assert (running.returncode, stderr) == (0, b"")


def test_pipe_that_nobody_reads_is_quiet(tiny_bert: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = started(["info", str(tiny_bert)], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr) == (0, b"")


def test_utf8_whatever_the_locale(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("边界层理论\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "POSIX"}
    command = [*PROGRAM, "search", str(tiny_bert), "--passages", str(tmp_path / "p.txt"), "边界层"]
    ended = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert "边界层\n" in ended.stdout.decode()
    assert "边界层理论\n" in ended.stdout.decode()


@pytest.mark.filterwarnings("default")
def test_warning_is_one_line(tiny_bert: Path, lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(tiny_bert), str(lines), "--max-length", "99999"]) == 0
    assert re.fullmatch(r"(bge-fast: warning: .*99999 is lowered to \d+.*\n)+", capsys.readouterr().err)


# search


def test_search_is_exact(
    tiny_bert: Path, bert: FlagModel, records: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "CHUNK_TEXTS", 2)
    queries = ["boundary layer", "wing"]
    assert main(["search", str(tiny_bert), "--json", "--top", "4", "--passages", str(records), *queries]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = bert.encode_queries(queries) @ bert.encode_corpus(LINES).T
    for one, query, row in zip(found, queries, scores, strict=True):
        assert one["query"] == query
        assert [result["rank"] for result in one["results"]] == [1, 2, 3, 4]
        assert [result["passage"]["_id"] for result in one["results"]] == np.argsort(-row, kind="stable")[:4].tolist()
        assert np.allclose([result["score"] for result in one["results"]], np.sort(row)[::-1][:4], atol=1e-5)
        assert all(result["line"] == result["passage"]["_id"] + 1 for result in one["results"])


def test_search_table(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    (tmp_path / "p.txt").write_text("wing\nthe \x1b[31mred\x1b[0m wing of a very long passage, cut\nwing\n")
    stdin_of(monkeypatch, b"wing\n")
    assert main(["search", str(tiny_bert), "--passages", str(tmp_path / "p.txt")]) == 0
    written = capsys.readouterr().out
    assert written == (
        "wing\nrank   score  passage\n   1  1.0000  wing\n   2  1.0000  wing\n" + written.splitlines()[4] + "\n\n"
    )
    assert re.fullmatch(r"   3  [ -]?\d\.\d{4}  the  \[31mred \[0m wing of.*…", written.splitlines()[4])
    assert len(written.splitlines()[4]) in (39, 40)


def test_search_puts_the_instruction_before_queries_alone(
    tiny_bert: Path, tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = named(tiny_bert, "bge-small-en-v1.5", tmp_path)
    assert main(["search", str(folder), "--json", "--passages", str(lines), "wing", "--top", "1"]) == 0
    best = json.loads(capsys.readouterr().out)["results"][0]["score"]
    model = FlagModel(str(folder), query_instruction_for_retrieval=ENGLISH)
    assert best == pytest.approx(float((model.encode_queries("wing") @ model.encode_corpus(LINES).T).max()), abs=1e-5)


def test_models_with_an_instruction_for_passages_get_it(
    tiny_bert: Path, tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = named(tiny_bert, "multilingual-e5-small", tmp_path)
    model = FlagModel(str(folder), pooling_method="mean")
    queries, passages, plain = (
        model.encode([before + text for text in LINES]) for before in ("query: ", "passage: ", "")
    )
    for options, wanted in (
        ([], passages),
        (["--query"], queries),
        (["--instruction", "query: "], queries),
        (["--instruction", ""], plain),
    ):
        assert main(["embed", str(folder), str(lines), "-o", str(tmp_path / "out.npy"), *options]) == 0
        assert same(np.load(tmp_path / "out.npy"), wanted), options
    assert main(["search", str(folder), "--json", "--passages", str(lines), LINES[0], "--top", "1"]) == 0
    best = json.loads(capsys.readouterr().out)["results"][0]["score"]
    assert best == pytest.approx(float((queries[0] @ passages.T).max()), abs=1e-5)
    assert main(["info", str(folder)]) == 0
    assert "passage instruction  'passage: '" in capsys.readouterr().out


def test_queries_of_an_unknown_model_say_that_nothing_is_put_before_them(
    tiny_bert: Path, tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = named(tiny_bert, "bge-small-en-v1.5", tmp_path)
    for model, options, told in (
        (tiny_bert, ["--query"], True),
        (tiny_bert, ["--query", "--instruction", ""], False),
        (tiny_bert, [], False),
        (known, ["--query"], False),
    ):
        assert main(["embed", str(model), str(lines), *options]) == 0
        assert ("no instruction is known" in capsys.readouterr().err) is told


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_were_closed_before_the_start(tiny_bert: Path, lines: Path, tmp_path: Path, closed: str) -> None:
    out = tmp_path / "out.npy"
    command = " ".join(map(shlex.quote, [*PROGRAM, "embed", str(tiny_bert), str(lines), "-o", str(out)]))
    assert subprocess.run(["/bin/sh", "-c", f"{command} {closed}"], check=False).returncode == 0
    assert len(np.load(out)) == len(LINES)
    if closed == "<&-":
        command = " ".join(map(shlex.quote, [*PROGRAM, "embed", str(tiny_bert)]))
        ended = subprocess.run(["/bin/sh", "-c", f"{command} <&-"], check=False, capture_output=True, text=True)
        assert (ended.returncode, "stdin is closed" in ended.stderr) == (1, True)


def test_multi_vectors_are_written_a_few_texts_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "many.txt").write_text("wing\n" * 40)
    asked, vectors_of = [], embed_verb.vectors_of

    def noted(encode: Any, chunk: list[texts.Text], **options: Any) -> Any:
        asked.append(len(chunk))
        return vectors_of(encode, chunk, **options)

    monkeypatch.setattr(embed_verb, "vectors_of", noted)
    assert main(["embed", str(checkpoint("tiny-m3")), str(tmp_path / "many.txt"), "--colbert"]) == 0
    assert asked == [16, 16, 8]
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 40
    assert np.array(rows[39]["colbert_vecs"]).ndim == 2


def test_a_typed_instruction_takes_the_models_format(tiny_bert: Path, tmp_path: Path, lines: Path) -> None:
    folder = named(tiny_bert, "multilingual-e5-large-instruct", tmp_path)
    out = tmp_path / "out.npy"
    assert main(["embed", str(folder), str(lines), "-o", str(out), "--query", "--instruction", "Find proofs"]) == 0
    model = FlagModel(str(folder), pooling_method="mean")
    assert same(np.load(out), model.encode([f"Instruct: Find proofs\nQuery: {text}" for text in LINES]))


def test_search_cannot_read_both_from_stdin(tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(tiny_bert), "--passages", "-"]) == 1
    assert "stdin cannot give both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 5, "short"),
        ("too long", 5, "too…"),
        ("边界层", 6, "边界层"),
        ("边界层理论", 6, "边界…"),
        ("a\tb\nc", 9, "a b c"),
    ],
)
def test_fit_counts_columns(text: str, width: int, shown: str) -> None:
    assert output.fit(text, width) == shown


# info


def test_info_does_not_open_the_model(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = own_folder / "onnx" / "model.onnx"
    graph.write_bytes(b"\0" * graph.stat().st_size)
    assert main(["info", str(own_folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["checkpoint"] == str(own_folder)
    assert (facts["precision"], facts["architecture"], facts["pooling_method"]) == ("fp32", "bert", "cls")
    assert set(facts["graphs"]) >= {"onnx/model.onnx"}
    assert main(["info", str(own_folder), "--verify"]) == 1
    assert re.fullmatch(r"bge-fast: error: onnx/model.onnx: sha256 differs .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("source", SOURCES)
def test_info_agrees_with_the_opened_model(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(SOURCES[source]("tiny-bert"))
    assert main(["info", folder, "--json", "--device", "cpu"]) == 0
    facts = json.loads(capsys.readouterr().out)
    opened = FlagModel(folder).info()
    assert facts["source"] == source
    shared = facts.keys() & opened.keys()
    assert len(shared) >= 12
    assert {name: facts[name] for name in shared} == {name: opened[name] for name in shared}


@pytest.mark.parametrize(
    ("source", "verified"),
    [("model folder", r"\d+ files have the sha256 of the manifest"), ("checkpoint", "nothing: there is no manifest.*")],
)
def test_info_for_people(source: str, verified: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = named(SOURCES[source]("tiny-bert"), "bge-small-en-v1.5", tmp_path)
    assert main(["info", str(folder), "--verify"]) == 0
    shown = capsys.readouterr().out
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines())
    assert rows["query instruction"] == repr(ENGLISH)
    assert rows["pooling method"] == "cls"
    assert rows["source"] == source
    assert re.fullmatch(verified, rows["verified"])
    assert len({re.match(r".*?  +", line).end() for line in shown.splitlines()}) == 1, "one column"  # type: ignore[union-attr]


def test_info_uses_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    from huggingface_hub import constants

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert main(["info", "nobody/nothing"]) == 1
    assert "bge-fast download nobody/nothing" in capsys.readouterr().err
