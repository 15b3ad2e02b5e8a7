"""A Git server of a test's own: git's HTTP program behind Python's server, once open and once with a password."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import CGIHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import pytest

PASSWORD = "a-git-password"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    url: str
    private_url: str
    first: str  # commits of main, and of the branch other
    second: str
    aside: str
    work: Path


def fill(root: Path, work: Path) -> list[str]:
    """A repository to work in, and ``root/model.git`` to be served. Returns its commits."""
    git(root, "init", "--quiet", "--initial-branch=main", str(work))
    commits = []
    for branch, text in (("main", "one"), ("main", "two"), ("other", "aside")):
        if branch != "main":
            git(work, "checkout", "--quiet", "-b", branch)
        (work / "model.txt").write_text(text)
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", text)
        commits.append(git(work, "rev-parse", "HEAD"))
    git(work, "checkout", "--quiet", "main")
    git(work, "tag", "v1", commits[0])
    git(root, "clone", "--quiet", "--bare", str(work), str(root / "model.git"))
    return commits


@contextmanager
def git_server(root: Path, host: str = "127.0.0.1") -> Iterator[Repository]:
    """``host`` is the address to listen on, and the one in the repository's."""
    backend = Path(git(root, "--exec-path")) / "git-http-backend"
    if not backend.exists():
        pytest.skip("git has no git-http-backend here")
    work = root / "work"
    first, second, aside = fill(root, work)
    (root / "cgi-bin").mkdir()
    shutil.copy(backend, root / "cgi-bin" / "git-http-backend")

    class Handler(CGIHTTPRequestHandler):
        have_fork = False  # threads of a test run do not survive one

        def is_cgi(self) -> bool:
            is_private = self.path.startswith("/private/")
            if is_private:
                wanted = "Basic " + base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
                if self.headers.get("Authorization") != wanted:
                    self.refuse(401)
                del self.headers["Authorization"]
            self.path = self.path.removeprefix("/private")
            if not self.path.startswith("/model.git/"):
                self.refuse(404)
            self.cgi_info = ("/cgi-bin", f"git-http-backend{self.path}")
            return True

        def refuse(self, status: int) -> NoReturn:
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            raise ConnectionAbortedError

        def translate_path(self, path: str) -> str:
            return str(root / path.lstrip("/"))

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionAbortedError:
                self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    os.environ["GIT_PROJECT_ROOT"], os.environ["GIT_HTTP_EXPORT_ALL"] = str(root), "1"
    server = ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://{host}:{server.server_port}"
    yield Repository(f"{address}/model.git", f"{address}/private/model.git", first, second, aside, work)
    server.shutdown()
    server.server_close()
    del os.environ["GIT_PROJECT_ROOT"], os.environ["GIT_HTTP_EXPORT_ALL"]
