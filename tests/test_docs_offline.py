"""The samples of docs/air-gapped.md: what is fetched from a hub, on loopback, then serves without one."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.checkpoints import ROOT, checkpoint
from tests.support.hub_double import REPOSITORY, serving

NAME = "BAAI/bge-small-en-v1.5"
NOWHERE = "http://127.0.0.1:9"


def samples() -> list[tuple[str, str]]:
    """Commands and programs of the page in their order, with the double's repository for the real one."""
    page = (ROOT / "docs" / "air-gapped.md").read_text()
    for name, double in ((NAME, REPOSITORY), (NAME.replace("/", "--"), REPOSITORY.replace("/", "--"))):
        page = page.replace(name, double)
    return re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_what_was_fetched_once_serves_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "passages.txt").write_text("Bees dance to show where nectar lies.\n")
    ran = []
    with serving(checkpoint("tiny-bert")) as hub:
        endpoint = hub.endpoint
        for language, sample in samples():
            if language == "python":
                run(["-c", sample], tmp_path, NOWHERE)
                ran.append("python")
            for command in re.findall(r"^\$ (.*)", sample, re.MULTILINE):
                program = command.replace("bge-fast ", f"{sys.executable} -m bge_fast ")
                run(
                    ["-c", f"import subprocess; subprocess.run({program!r}, shell=True, check=True)"],
                    tmp_path,
                    endpoint,
                )
                ran.append(command.split()[-1])
                endpoint = NOWHERE  # after the first one, which fetches
    assert ran == [REPOSITORY, "passages.npy", "python", "model", "python"]
    assert (tmp_path / "passages.npy").is_file()


def run(arguments: list[str], folder: Path, endpoint: str) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**variables, "HF_ENDPOINT": endpoint}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
