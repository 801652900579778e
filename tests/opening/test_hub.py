"""Models on the hub and in its cache: what is fetched, in what order, and what is opened of it."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError, ModelNotFoundError
from tests.support.checkpoints import edit_json
from tests.support.hub_double import COMMIT, REPOSITORY, HubDouble, HubServer, cache, serving
from tests.support.malformed import turn_into_pickled, turn_into_shards

# A process or a server for each: together far more than five seconds.
pytestmark = pytest.mark.slow

OPEN = """
import json, sys
from bge_fast import FlagModel
try:
    model = FlagModel(sys.argv[1], **json.loads(sys.argv[2]))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "said": str(error)}))
else:
    print(json.dumps({"first": float(model.encode("text")[0]), **model.info()}))
"""


def open_elsewhere(name: str, home: Path, endpoint: str = "http://127.0.0.1:9", **environment: str) -> dict:
    """Open a model in a process of its own, since the hub's client reads its environment once."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_", "HUGGING"))}
    options = environment.pop("options", "{}")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, name, options],
        env={**clean, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_hub_id_downloads_only_what_is_needed_and_then_needs_no_network(own_folder, tmp_path, bert):
    (own_folder / "pytorch_model.bin").write_bytes(b"large")
    (own_folder / "README.md").write_text("words")
    with serving(own_folder) as hub:
        first = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
        assert first["first"] == pytest.approx(float(bert.encode("text")[0]), abs=1e-6)
        assert first["commit"] == COMMIT
        assert "onnx/model.onnx" in hub.given
        assert not {*hub.given} & {"onnx/model_fp16.onnx", "pytorch_model.bin", "README.md", "vocab.txt"}
        asked = len(hub.requested)
        again = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
        assert again["first"] == first["first"]
        assert len(hub.requested) == asked, "a complete cached model must not be asked about"
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        assert open_elsewhere(REPOSITORY, tmp_path / "home", **environment)["first"] == first["first"]


def test_a_plain_onnx_repository(own_folder, tmp_path, bert):
    (own_folder / "bge_fast.json").unlink()
    with serving(own_folder) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    assert opened["source"] == "onnx"
    assert opened["first"] == pytest.approx(float(bert.encode("text")[0]), abs=1e-6)
    assert open_elsewhere(REPOSITORY, tmp_path / "home")["first"] == opened["first"]


def test_cache_dir_and_token_are_honoured(own_folder, tmp_path):
    options = json.dumps({"cache_dir": str(tmp_path / "cache")})
    with serving(own_folder) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint, HF_TOKEN="hf_secret", options=options)
        assert hub.tokens == {"Bearer hf_secret"}
    assert opened["folder"].startswith(str(tmp_path / "cache"))
    assert "hf_secret" not in json.dumps(opened)
    assert not (tmp_path / "home" / "hub").exists()


def test_an_incomplete_cache_while_offline_names_what_is_missing(own_folder, tmp_path):
    with serving(own_folder) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    (Path(opened["folder"]) / "onnx" / "model.onnx").unlink()
    refused = open_elsewhere(REPOSITORY, tmp_path / "home", HF_HUB_OFFLINE="1")
    assert refused["error"] == "ModelNotFoundError"
    assert "missing onnx/model.onnx" in refused["said"]
    assert f"bge-fast download {REPOSITORY}" in refused["said"]


# ── checkpoints ───────────────────────────────────────────────────────────────────────────────────────────────────────


def offer(folder: Path, kind: str) -> list[str]:
    """Give the checkpoint one kind of weights and worse ones; return the names of those that must be opened."""
    (folder / "onnx").mkdir()
    for worse in ("onnx/model.onnx", "tf_model.h5", "openvino_model.bin", "README.md"):
        (folder / worse).write_bytes(b"large")
    if kind == "bin":
        turn_into_pickled(folder)
        return ["pytorch_model.bin"]
    (folder / "pytorch_model.bin").write_bytes(b"large")
    return [path.name for path in turn_into_shards(folder, 2)] if kind == "shards" else ["model.safetensors"]


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The folder of a cache, whose models are opened in this process."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def open_cached(hub_cache: Path) -> FlagModel:
    return FlagModel(REPOSITORY, cache_dir=str(hub_cache))


@pytest.mark.parametrize("kind", ["safetensors", "shards", "bin"])
def test_of_a_checkpoint_the_best_weights_alone_are_fetched(own_checkpoint, tmp_path, hub_cache, bert, kind):
    wanted = offer(own_checkpoint, kind)
    with serving(own_checkpoint) as hub:
        first = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    assert first["first"] == pytest.approx(float(bert.encode("text")[0]), abs=1e-6)
    assert (first["source"], first["commit"]) == ("checkpoint", COMMIT)
    assert [Path(file).parent.name for file in first["files"]] == ["blobs"] * len(wanted)
    large = [file for file in hub.given if file.endswith((".safetensors", ".bin", ".onnx", ".h5", ".md"))]
    assert sorted(large) == wanted
    assert "vocab.txt" not in hub.given
    assert hub.given.index("config.json") < hub.given.index(wanted[0])
    (tmp_path / "home" / "hub").rename(hub_cache)
    assert np.array_equal(open_cached(hub_cache).encode("text"), bert.encode("text"))


def test_a_repository_without_weights_says_so(own_checkpoint, tmp_path):
    (own_checkpoint / "model.safetensors").unlink()
    with serving(own_checkpoint) as hub:
        refused = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    assert refused["error"] == "ModelNotFoundError"
    assert f"{REPOSITORY} has neither weights (model.safetensors" in refused["said"]


@pytest.mark.parametrize("kind", ["safetensors", "shards", "bin"])
def test_a_cached_checkpoint_opens_where_its_blobs_lie(own_checkpoint, hub_cache, bert, kind):
    for path in offer(own_checkpoint, kind):
        assert (own_checkpoint / path).is_file()
    cache(own_checkpoint, hub_cache)
    model = open_cached(hub_cache)
    assert {Path(file).parent.name for file in model.info()["files"]} == {"blobs"}
    assert model.info()["commit"] == COMMIT
    assert np.array_equal(model.encode(["text", "a wing in flow"]), bert.encode(["text", "a wing in flow"]))
    model.pooling_method = "mean"
    assert model.encode("text").shape == (32,)


def test_weights_that_were_begun_are_completed_though_worse_ones_are_whole(own_checkpoint, tmp_path):
    (own_checkpoint / "pytorch_model.bin").write_bytes(b"whole, for all that anybody knows")
    snapshot = cache(own_checkpoint, tmp_path / "home" / "hub")
    (snapshot / "model.safetensors").resolve().unlink()
    with serving(own_checkpoint) as hub:
        opened = open_elsewhere(REPOSITORY, tmp_path / "home", hub.endpoint)
    assert (opened["source"], hub.given.count("pytorch_model.bin")) == ("checkpoint", 0)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("safetensors", "model.safetensors"),
        ("shards", "model-00002-of-00002.safetensors"),
        ("bin", "pytorch_model.bin"),
        ("bin", "tokenizer.json"),
    ],
)
def test_an_incomplete_checkpoint_names_what_is_missing(own_checkpoint, hub_cache, kind, missing):
    offer(own_checkpoint, kind)
    snapshot = cache(own_checkpoint, hub_cache)
    (snapshot / missing).resolve().unlink()
    with pytest.raises(ModelNotFoundError, match=rf"\(missing {re.escape(missing)}\).*bge-fast download"):
        open_cached(hub_cache)


@pytest.mark.parametrize("target", ["another repository", "elsewhere"])
@pytest.mark.parametrize("kind", ["safetensors", "shards", "bin"])
def test_a_link_out_of_the_repositorys_cache_is_refused(own_checkpoint, hub_cache, tmp_path, kind, target):
    wanted = offer(own_checkpoint, kind)[-1]
    snapshot = cache(own_checkpoint, hub_cache)
    other = hub_cache / "models--tiny--other" / "blobs" / "0" if target == "another repository" else tmp_path / "other"
    other.parent.mkdir(parents=True, exist_ok=True)
    (snapshot / wanted).resolve().rename(other)
    (snapshot / wanted).unlink()
    (snapshot / wanted).symlink_to(other)
    with pytest.raises(ModelFormatError, match=f"{wanted} is a link out of the repository's cache, to .*{other.name}"):
        open_cached(hub_cache)


def test_a_refused_weight_file_of_a_cache_is_named_as_in_the_repository(own_checkpoint, hub_cache):
    (own_checkpoint / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    cache(own_checkpoint, hub_cache)
    with pytest.raises(ModelFormatError, match=r"^model\.safetensors is a git-lfs pointer"):
        open_cached(hub_cache)


@pytest.mark.parametrize("changes", [{"files": 5}, {"files": {"config.json": 5}}, {"graphs": []}, {"graphs": {"a": 5}}])
def test_a_cached_manifest_that_is_not_understood_is_refused(own_folder, hub_cache, changes):
    edit_json(own_folder / "bge_fast.json", **changes)
    cache(own_folder, hub_cache)
    with pytest.raises(ModelFormatError, match=f"{next(iter(changes))!r} of bge_fast.json is not a table of facts"):
        open_cached(hub_cache)


# ── no such thing ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_an_unknown_hub_id_without_network(tmp_path, environment):
    refused = open_elsewhere("nobody/nothing", tmp_path / "home", **environment)
    assert refused["error"] == "ModelNotFoundError"
    assert "nobody/nothing" in refused["said"]


def test_a_repository_that_is_not_on_the_hub(own_folder, tmp_path):
    with serving(own_folder) as hub:
        refused = open_elsewhere("nobody/nothing", tmp_path / "home", hub.endpoint)
    assert "no such repository" in refused["said"]


# ── what the hub says ─────────────────────────────────────────────────────────────────────────────────────────────────


class Moody(HubDouble):
    """A hub that answers everything in one way."""

    def answer(self) -> None:
        mood = self.server.mood
        if isinstance(mood, int):
            self.send_response(mood)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif mood == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif mood == "html":
            self.send(b"<html>log in first</html>", "text/html")
        else:
            self.server.woken.wait(60)


@pytest.fixture
def moody(own_checkpoint):
    """A function that starts such a hub and gives its endpoint."""
    servers = []

    def start(mood: int | str) -> str:
        server = HubServer(own_checkpoint, Moody)
        server.mood, server.woken, server.daemon_threads = mood, threading.Event(), True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.endpoint

    yield start
    for server in servers:
        server.woken.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        (401, "does not accept the token|no such repository"),
        (403, "denies access .403."),
        (404, "does not have it .404."),
        (407, "proxy"),
        (418, "answered with status 418"),
        (429, "limits how often it is asked .429.*HF_TOKEN"),
        (500, "is out of order .500."),
        (503, "is out of order .503.*later"),
        ("reset", "cannot be reached"),
        ("html", "does not answer as a hub does"),
    ],
)
def test_each_answer_is_told_with_the_endpoint(moody, tmp_path, mood, said):
    endpoint = moody(mood)
    refused = open_elsewhere(REPOSITORY, tmp_path / "home", endpoint)
    assert refused["error"] == "ModelNotFoundError"
    assert re.search(said, refused["said"]), refused["said"]
    assert endpoint in refused["said"]
    assert len(refused["said"]) < 400


def test_no_hub_at_all_is_told_with_the_endpoint(tmp_path):
    refused = open_elsewhere(REPOSITORY, tmp_path / "home", "http://user:secret@127.0.0.1:9")
    assert re.search(r"http://127.0.0.1:9 cannot be reached \(.*refused", refused["said"]), refused["said"]
    assert "secret" not in refused["said"]


def test_a_hub_that_never_answers_is_given_up(moody, tmp_path):
    started = time.monotonic()
    refused = open_elsewhere(REPOSITORY, tmp_path / "home", moody("silent"), HF_HUB_ETAG_TIMEOUT="2")
    assert time.monotonic() - started < 60
    assert refused["error"] == "ModelNotFoundError"
    assert "did not answer within 2 s" in refused["said"]


def test_what_the_cache_lacks_is_named_beside_the_cause(own_checkpoint, moody, tmp_path):
    snapshot = cache(own_checkpoint, tmp_path / "home" / "hub")
    (snapshot / "model.safetensors").resolve().unlink()
    refused = open_elsewhere(REPOSITORY, tmp_path / "home", moody(503))
    assert re.search(r"missing model.safetensors\), and .*out of order", refused["said"])


def test_a_complete_cache_needs_no_answer(own_checkpoint, moody, tmp_path):
    cache(own_checkpoint, tmp_path / "home" / "hub")
    assert "error" not in open_elsewhere(REPOSITORY, tmp_path / "home", moody("silent"))


@pytest.mark.parametrize("spoil", ["folder", "bytes"])
def test_a_damaged_cache_is_told(own_checkpoint, hub_cache, spoil):
    snapshot = cache(own_checkpoint, hub_cache)
    reference = snapshot.parents[1] / "refs" / "main"
    reference.unlink()
    reference.mkdir() if spoil == "folder" else reference.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelNotFoundError, match="cannot be read from the hub's cache"):
        open_cached(hub_cache)


@pytest.mark.parametrize("name", ["a--b/c", "nobody/nothing.git", "nobody/nothing."])
def test_what_can_be_no_hub_id_is_told(name):
    with pytest.raises(ModelNotFoundError, match="not a hub id"):
        FlagModel(name)
