"""The steps of docker/Dockerfile in a plain root: built, started as its user on a read-only disk, asked, stopped."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.packaging import plain_root
from tests.support.checkpoints import ROOT, checkpoint
from tests.support.hub_double import REPOSITORY, serving

PROGRAMS = ("mmdebstrap", "chroot", "unshare")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[plain_root.Stage]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a plain root needs {', '.join(PROGRAMS)} and to be root (apt-get install mmdebstrap)")
    if not list((ROOT / "dist").glob(f"*_{os.uname().machine}.whl")):
        pytest.skip("no wheel in dist: run `make dist`")
    base = ROOT / "build" / "docker" / "base"
    plain_root.make_base(base)
    work = tmp_path_factory.mktemp("image")
    with serving(checkpoint("tiny-bert")) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INPUT", "1")
        arguments = {"MODEL": REPOSITORY, "HF_ENDPOINT": hub.endpoint}
        yield plain_root.build(ROOT / "docker" / "Dockerfile", ROOT, base, work, arguments)
    shutil.rmtree(work)


def test_it_runs_as_a_user_who_owns_nothing(image: plain_root.Stage) -> None:
    assert image.run("id", "-u").strip() not in ("0", "")
    code = "import os; print([path for path in ('/opt/models', '/opt/bge-fast') if os.access(path, os.W_OK)])"
    assert image.run("python3", "-c", code).strip() == "[]"


def test_the_model_is_in_the_image_and_nothing_asks_for_it(image: plain_root.Stage) -> None:
    said = image.run("bge-fast", "doctor", REPOSITORY, read_only=True)
    assert "was not run: no folder for temporary files" in said
    assert "Permission denied" not in said
    code = f"from bge_fast import FlagModel; print(FlagModel({REPOSITORY!r}).encode('wing').shape)"
    assert image.run("python3", "-c", code, read_only=True).strip() == "(32,)"


def test_the_server_answers_and_stops_when_it_is_told(image: plain_root.Stage) -> None:
    port = free_port()
    server = image.start("/bin/sh", "-c", image.command.replace("8000", port), read_only=True)
    try:
        wait_until_healthy(image, server, port)
        asked = json.dumps({"inputs": ["a wing", "a flow"]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/embed", asked, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert [len(vector) for vector in json.load(answer)] == [32, 32]
    finally:
        server.terminate()
        said, _ = server.communicate(timeout=60)
    assert server.returncode == 0, said


def free_port() -> str:
    """In place of the image's 8000: here it is a port of the machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def wait_until_healthy(image: plain_root.Stage, server: subprocess.Popen[str], port: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            image.run(*(word.replace("8000", port) for word in image.health))
        except AssertionError:
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < deadline, "not healthy within a minute"
            time.sleep(0.5)
        else:
            return
