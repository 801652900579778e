"""Words of a command: verbs that there are, what misspelt ones meant, completion, and a start without heavy imports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bge_fast.commands import completion, usage
from bge_fast.commands.cli import main
from bge_fast.known import KNOWN_MODELS, RERANKERS
from tests.support.checkpoints import checkpoint
from tests.support.hub_double import COMMIT, REPOSITORY, serving

HEAVY = {"numpy", "tqdm", "huggingface_hub", "bge_fast._core", "bge_fast.models", "difflib", "ctypes", "decimal"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("embde", "embed"),
        ("serach", "search"),
        ("mege-lora", "merge-lora"),
        ("downlaod", "download"),
        ("model", "models"),
    ],
)
def test_a_misspelt_verb(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "--whatever"]) == 2
    assert f"there is no verb '{word}'; did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["embed", "m", "--trucate-dim", "3"], "--trucate-dim 3; did you mean --truncate-dim?"),
        (["embed", "m", "--ouptut=x.npy"], "--ouptut=x.npy; did you mean --output?"),
        (["info", "m", "--downlaod"], "--downlaod\n"),
        (["eval", "m", "d", "--spilts", "test"], "did you mean --splits?"),
        (["mine", "m", "--negative_nunber", "3"], "did you mean --negative-number?"),
    ],
)
def test_a_misspelt_option(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert meant in capsys.readouterr().err


def test_what_resembles_nothing_gets_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["qqqq"]) == 2
    assert "did you mean" not in capsys.readouterr().err
    assert main(["x" * 100_000]) == 2
    assert len(capsys.readouterr().err) < 1000


@pytest.mark.parametrize("name", usage.VERBS)
def test_every_verb_has_help_and_is_listed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: bge-fast {name}")
    assert main(["--help"]) == 0
    assert f"    {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--help"], ["embed", "--help"], ["rerank", "--help"], ["bench", "--help"], ["mine", "-h"]]
)
def test_the_start_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; from bge_fast.commands.cli import main; status = main({words!r}); "
        f"sys.exit(status or str({HEAVY!r} & set(sys.modules) or ''))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("merge-lora", "--truncate-dim", "--candidates", "float16"))
    if path := shutil.which(shell):
        assert subprocess.run([path, "-n"], input=script, text=True, check=False).returncode == 0


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    if (bash := shutil.which("bash")) is None:
        pytest.skip("there is no bash")
    assert main(["--print-completion", "bash"]) == 0
    (tmp_path / "passages.txt").touch()
    ask = """
complete_words() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_bge_fast; printf '%s\\n' "${COMPREPLY[@]}"
}
complete_words bge-fast emb
complete_words bge-fast embed --trunc
complete_words bge-fast embed model --dtype f
complete_words bge-fast embed passag
"""
    script = capsys.readouterr().out + ask
    ended = subprocess.run([bash, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert [word.strip() for word in ended.stdout.split("\n") if word] == [
        "embed",
        "--truncate-dim",
        "float32",
        "float16",
        "passages.txt",
    ]


def test_completion_without_shtab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    assert "pip install shtab" in capsys.readouterr().err
    with pytest.raises(ImportError, match="pip install shtab"):
        completion.script(usage.whole(filled=True), "bash")


def test_models_lists_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == [*KNOWN_MODELS, *RERANKERS]
    assert [line.split()[0] for line in table[1:]] == [row["name"] for row in rows]
    by_name = {row["name"]: row for row in rows}
    assert (by_name["bge-m3"]["kind"], by_name["bge-m3"]["model_class"]) == ("m3", "BGEM3FlagModel")
    assert by_name["e5-small"]["query_instruction"] == "query: "


def test_download_prints_the_folder(tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", str(tiny_bert), str(checkpoint("tiny-m3"))]) == 0
    assert capsys.readouterr().out.split() == [str(tiny_bert), str(checkpoint("tiny-m3"))]


def test_download_fetches_what_is_opened(own_checkpoint: Path, tmp_path: Path) -> None:
    (own_checkpoint / "README.md").write_text("words")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    command = [sys.executable, "-m", "bge_fast", "download", REPOSITORY]
    with serving(own_checkpoint) as hub:
        environment = {**clean, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "model.safetensors" in hub.given
        assert "README.md" not in hub.given
    folder = Path(ended.stdout.strip())
    assert (folder.name, (folder / "model.safetensors").is_file()) == (COMMIT, True)
    again = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "HF_HUB_OFFLINE": "1"}, check=True
    )
    assert again.stdout == ended.stdout
