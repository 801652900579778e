"""Checkpoints named by hub id, against a hub over loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.export.running import Run
from tests.support.hub_double import COMMIT, REPOSITORY, serving


def run_with_hub(endpoint: str, home: Path, *arguments: object, **more: str) -> Run:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), **more}
    command = [sys.executable, "-m", "bge_fast_export", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return Run(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_export_of_a_hub_id(checkpoint: Path, home: Path, place: Path) -> None:
    (checkpoint / "pytorch_model.bin").write_bytes(b"not to be fetched")
    (checkpoint / "modeling_custom.py").write_text("raise SystemExit")
    (checkpoint / "README.md").write_text("not to be fetched")
    target = place / "out"
    with serving(checkpoint) as hub:
        run = run_with_hub(hub.endpoint, home, REPOSITORY, "-o", target, "--revision", "v1.5", "--precision", "fp32")
    assert run.status == 0, run.err
    manifest = json.loads((target / "bge_fast.json").read_text())
    assert manifest["source"] == {"checkpoint": REPOSITORY, "revision": "v1.5", "commit": COMMIT}
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert {"config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"} <= set(hub.given)
    assert not set(hub.given) & {"pytorch_model.bin", "modeling_custom.py", "README.md"}
    assert all(line.startswith("bge-fast-export: ") for line in run.err.splitlines()), run.err


def test_cached_checkpoint_needs_no_hub(checkpoint: Path, home: Path, place: Path) -> None:
    beyond = (
        "-o",
        place / "out",
        "--max-length",
        "9999",
    )  # an error that is reached with a whole checkpoint only
    with serving(checkpoint) as hub:
        first = run_with_hub(hub.endpoint, home, REPOSITORY, *beyond)
    second = run_with_hub(hub.endpoint, home, REPOSITORY, *beyond)
    assert "--max-length 9999 is more than" in first.error
    assert second.error == first.error


def test_pickled_weights_are_fetched_where_there_are_no_others(checkpoint: Path, home: Path, place: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin")
    with serving(checkpoint) as hub:
        run = run_with_hub(hub.endpoint, home, REPOSITORY, "-o", place / "out", "--max-length", "9999")
    assert "--max-length 9999 is more than" in run.error  # reached only once the checkpoint is complete
    assert "pytorch_model.bin" in hub.given


def test_heads_of_m3_are_fetched(copy_of: Callable[[str], Path], home: Path, place: Path) -> None:
    with serving(copy_of("tiny-m3")) as hub:
        run = run_with_hub(hub.endpoint, home, REPOSITORY, "-o", place / "out", "--precision", "fp32")
    assert run.status == 0, run.err
    assert {"sparse_linear.pt", "colbert_linear.pt", "pytorch_model.bin"} <= set(hub.given)
    assert json.loads((place / "out/bge_fast.json").read_text())["kind"] == "m3"


def test_no_such_id(checkpoint: Path, home: Path, place: Path) -> None:
    with serving(checkpoint) as hub:
        run = run_with_hub(hub.endpoint, home, "tiny/other", "-o", place / "out")
    assert run.status == 1
    assert '"tiny/other" is neither a folder here nor a checkpoint on the hub' in run.error
    assert os.listdir(place) == []


def test_no_such_revision(checkpoint: Path, home: Path, place: Path) -> None:
    with serving(checkpoint) as hub:
        run = run_with_hub(hub.endpoint, home, REPOSITORY, "-o", place / "out", "--revision", "v9")
    assert run.status == 1
    assert f'{REPOSITORY} has no revision "v9"' in run.error


@pytest.mark.parametrize("revision", ["../../etc", "-x", "a b", ""])
def test_revision_that_cannot_be(revision: str, home: Path, place: Path) -> None:
    run = run_with_hub("http://127.0.0.1:9", home, REPOSITORY, "-o", place / "out", f"--revision={revision}")
    assert run.status == 1
    assert "cannot be a revision" in run.error


def test_hub_out_of_reach(home: Path, place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        started = time.monotonic()
        run = run_with_hub(f"http://127.0.0.1:{taken.getsockname()[1]}", home, REPOSITORY, "-o", place / "out")
    assert run.status == 1
    assert f'"{REPOSITORY}" is no folder here, is not in the cache, and the hub cannot be reached' in run.error
    assert time.monotonic() - started < 20
    assert os.listdir(place) == []


def test_offline(home: Path, place: Path) -> None:
    run = run_with_hub("http://127.0.0.1:9", home, REPOSITORY, "-o", place / "out", HF_HUB_OFFLINE="1")
    assert run.status == 1
    assert "is not in the cache" in run.error
