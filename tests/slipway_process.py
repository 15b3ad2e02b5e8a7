"""The whole of Slipway as a person runs it: a supervisor in a process of its own, on a folder and a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from console.environment import CLIENT_VARIABLES, REPOSITORY, SETTINGS
from console.supervisor.layout import is_server
from deployments.clusters.local.processes import find_process, is_alive, process_table, read_text
from tests.ports import free_port
from tests.shared_backends import drop_postgres, release_redis, take_postgres, take_redis
from tests.waiting import wait_until


def process_environment(**variables: str) -> dict[str, str]:
    """This process's environment with these settings and no others."""
    names = {setting.name for setting in SETTINGS} | CLIENT_VARIABLES | {"DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in os.environ.items() if name not in names} | variables


def take_backends() -> dict[str, str]:
    """The settings of a fresh database on each shared server."""
    taken = {"DATABASE_URL": take_postgres(), "REDIS_URL": take_redis()}
    return {name: url for name, url in taken.items() if url is not None}


def give_back(taken: dict[str, str]) -> None:
    """Drop what ``take_backends`` made."""
    if "DATABASE_URL" in taken:
        drop_postgres(taken["DATABASE_URL"])
    if "REDIS_URL" in taken:
        release_redis(taken["REDIS_URL"])


class SlipwayProcess:
    """One supervisor. ``start`` waits for readiness; ``stop`` for the end; ``output`` is all it printed.

    It has a fresh database on the PostgreSQL, and one on the Redis, that the test run shares, where it does
    (``tests.shared_backends``); ``is_embedded`` is for tests of what it brings along instead.
    """

    def __init__(self, data_dir: Path, *, is_embedded: bool = False, **variables: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._taken = {} if is_embedded or "DATABASE_URL" in variables else take_backends()
        own = {"SLIPWAY_DATA_DIR": str(data_dir), "SLIPWAY_PORT": str(self.port)}
        self.variables = {**own, **self._taken, **variables}
        self._output_file = data_dir.with_name(f"{data_dir.name}.out")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        return self._output_file.read_text() if self._output_file.exists() else ""

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        with self._output_file.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "console.supervisor"],
                cwd=REPOSITORY,
                env=process_environment(**self.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start(self, timeout_seconds: float = 60.0) -> SlipwayProcess:
        """Start it and wait for the line that says it is ready."""
        process = self.launch()

        def is_ready() -> bool:
            assert process.poll() is None, f"the supervisor ended with {process.returncode}:\n{self.output}"
            return "Slipway is ready" in self.output

        wait_until(is_ready, "Slipway is ready", timeout_seconds)
        return self

    def stop(self, number: int = signal.SIGTERM, timeout_seconds: float = 60.0) -> int:
        """Send the signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout_seconds)

    def finish(self) -> int:
        """Wait for a supervisor that ends by itself."""
        assert self.process is not None
        return self.process.wait(60)

    def end_everything(self) -> None:
        """After a test, however it went."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        give_back(self._taken)
        self._taken = {}

    def password(self) -> str:
        """The generated password that this start printed."""
        found = re.search(r"^ +Password +(\S+) +\(shown", self.output, re.MULTILINE)
        assert found is not None, self.output
        return found[1]

    def part(self, marker: str) -> int | None:
        """The process id of the part whose command line contains ``marker``."""
        assert self.process is not None
        for row in process_table():
            if row.parent == self.process.pid and not row.is_zombie:
                command = read_text(f"/proc/{row.pid}/cmdline").replace("\0", " ")
                if marker in command:
                    return row.pid
        return None

    def servers(self) -> set[int]:
        """The process ids of the parts that answer callers."""
        recorded = json.loads((self.data_dir / "supervisor.parts").read_text())
        return {pid for name, (pid, start) in recorded.items() if is_server(name) and is_alive(pid, start)}

    def processes(self) -> list[int]:
        """Every living process that was started for this data folder, the supervisor too."""
        wanted = f"SLIPWAY_DATA_DIR={self.data_dir}"
        # Valkey writes its title over its environment, with the socket's path in it.
        title = f"unixsocket:{self.data_dir}/"
        return [
            row.pid
            for row in process_table()
            if not row.is_zombie
            and (
                wanted in read_text(f"/proc/{row.pid}/environ").split("\0")
                or title in read_text(f"/proc/{row.pid}/cmdline")
            )
        ]

    def query(self, statement: str) -> list[Any]:
        """Rows of its database, whichever it has."""
        url = self.variables.get("DATABASE_URL")
        if url is not None:
            with psycopg.connect(url) as postgres:
                return postgres.execute(statement.encode()).fetchall()
        with closing(sqlite3.connect(self.data_dir / "db.sqlite3", timeout=20)) as file:
            return file.execute(statement).fetchall()

    def readyz(self) -> tuple[int, dict[str, Any]]:
        """Status and body of ``/readyz``; (0, {}) when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (OSError, ValueError):
            return 0, {}

    def wait_ready(self) -> None:
        wait_until(lambda: self.readyz()[0] == 200, "/readyz is 200", 40)


def is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    row = find_process(pid)
    return row is None or row.is_zombie
