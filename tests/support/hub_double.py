"""A hub of one repository over loopback: just what huggingface_hub asks for."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "tiny/bert"
REVISIONS = ("main", "v1.5", COMMIT)


class HubDouble(BaseHTTPRequestHandler):
    """Answers for the folder and the request log that the server carries."""

    server: HubServer

    def do_HEAD(self) -> None:
        """Answer with headers only."""
        self.answer()

    def do_GET(self) -> None:
        """Answer with the body too."""
        self.answer()

    def answer(self) -> None:
        """Route one request."""
        self.server.requested.append(self.path)
        api = f"/api/models/{REPOSITORY}/revision/"
        files = f"/{REPOSITORY}/resolve/{COMMIT}/"
        tree = f"/api/models/{REPOSITORY}/tree/{COMMIT}"
        if REPOSITORY in self.path:
            self.server.tokens.add(self.headers.get("Authorization"))
        if self.path.startswith(api):
            self.describe(self.path.removeprefix(api))
        elif self.path.startswith(tree):
            self.list_files()
        elif self.path.startswith(files):
            self.give(self.server.folder / self.path.removeprefix(files))
        else:
            self.refuse("RepoNotFound")

    def describe(self, revision: str) -> None:
        """List the repository's files."""
        if revision not in REVISIONS:
            self.refuse("RevisionNotFound")
            return
        names = [path.relative_to(self.server.folder).as_posix() for path in self.server.folder.rglob("*.*")]
        listing = {"id": REPOSITORY, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        self.send(json.dumps(listing).encode(), "application/json")

    def list_files(self) -> None:
        """List the files with size and hash, as newer clients ask."""
        entries = [
            {
                "type": "file",
                "path": path.relative_to(self.server.folder).as_posix(),
                "size": path.stat().st_size,
                "oid": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in self.server.folder.rglob("*.*")
        ]
        self.send(json.dumps(entries).encode(), "application/json")

    def give(self, path: Path) -> None:
        """Send one file."""
        self.send(path.read_bytes(), "application/octet-stream")

    def send(self, body: bytes, kind: str) -> None:
        """Send a whole body, or its headers."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, code: str) -> None:
        """Say that something is not there."""
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep stderr clean."""


class HubServer(ThreadingHTTPServer):
    """The server with what it serves and what was asked."""

    def __init__(self, folder: Path, double: type[HubDouble] = HubDouble) -> None:
        super().__init__(("127.0.0.1", 0), double)
        self.folder = folder
        self.requested: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def given(self) -> list[str]:
        """Names of the files that were asked for, in the order in which they first were."""
        prefix = f"/{REPOSITORY}/resolve/{COMMIT}/"
        return list(dict.fromkeys(path.removeprefix(prefix) for path in self.requested if path.startswith(prefix)))


@contextmanager
def serving(folder: Path) -> Iterator[HubServer]:
    """Serve `folder` as `tiny/bert` until the block ends."""
    server = HubServer(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def cache(folder: Path, cache_dir: Path) -> Path:
    """Lay `folder` out as the hub's client keeps `tiny/bert` in its cache; return the snapshot."""
    repository = cache_dir / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for path in (path for path in folder.rglob("*") if path.is_file()):
        blob = repository / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        link = snapshot / path.relative_to(folder)
        for place in (blob, link):
            place.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(path.read_bytes())
        link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot
