"""Servers, workers and beats without a supervisor, started with the very commands of ``docs/production.md``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from console.environment import REPOSITORY
from tests.ports import free_port
from tests.slipway_process import process_environment
from tests.waiting import wait_until

_PAGE = REPOSITORY / "docs" / "production.md"


def documented_commands(name: str) -> str:
    """The block of shell text below ``<!-- commands: NAME -->``."""
    found = re.search(rf"<!-- commands: {name} -->\n```sh\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert found is not None, name
    return found[1]


class Part:
    """One of them. It can be killed and started again; its log goes on."""

    def __init__(self, kind: str, log: Path, variables: dict[str, str]) -> None:
        self.kind = kind
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._variables = {**variables, "SLIPWAY_PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> Part:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {documented_commands(self.kind)}"],
                cwd=REPOSITORY,
                env=own_path(process_environment(**self._variables)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self.kind == "server":
            wait_until(self._is_answering, f"the server answers: {self._log}", 90)
        return self

    def kill(self) -> None:
        """As if the machine's memory had run out."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _is_answering(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def own_path(variables: dict[str, str]) -> dict[str, str]:
    """``python`` is the one that runs the tests."""
    folder = str(Path(sys.executable).parent)
    return {**variables, "PATH": f"{folder}{os.pathsep}{variables.get('PATH', os.defpath)}"}


def prepare(variables: dict[str, str]) -> None:
    """What the page says to do once; the static files are ``build_static_files``'s."""
    (command,) = [line for line in documented_commands("prepare").splitlines() if "prepare" in line]
    environment = own_path(process_environment(**variables))
    subprocess.run(["/bin/sh", "-c", command], cwd=REPOSITORY, env=environment, check=True, capture_output=True)
