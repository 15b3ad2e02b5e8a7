"""Starts the chat-llm runtime as a real process with the real bundled model."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import websocket

from tests.extras import EXTRA_SETTINGS
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
#: Never ends by itself within a test: the end mark is forbidden.
ENDLESS: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Tell a story."}],
    "max_tokens": 8000,
    "ignore_eos": True,
}

_SERVED = re.compile(r"is served on 127\.0\.0\.1:(\d+) ")


def render_command(*flags: str, program: str = "webui_server") -> list[str]:
    return [sys.executable, "-m", f"inference_gateway.runtime.{program}", *flags]


def run_runtime(
    *flags: str,
    program: str = "webui_server",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command line that is expected to end by itself. ``environment`` is added to this process's."""
    command = render_command(*flags, program=program)
    variables = {**os.environ, **EXTRA_SETTINGS, **(environment or {})}
    return subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=timeout_seconds, check=False
    )


def start_runtime(*flags: str, log: IO[bytes], program: str = "webui_server") -> subprocess.Popen[bytes]:
    """Start it without waiting."""
    command, variables = render_command(*flags, program=program), {**os.environ, **EXTRA_SETTINGS}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class Runtime:
    """A running one. ``log`` is what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.process = process
        self.log_path = log_path
        self.port = 0

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def find_engine_pid(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return int(children.split()[0]) if children.strip() else None

    def wait_until_served(self, timeout_seconds: float) -> None:
        def look() -> bool:
            assert self.process.poll() is None, self.log
            found = _SERVED.search(self.log)
            self.port = int(found[1]) if found else 0
            return self.port > 0

        wait_until(look, f"the runtime serves; its log: {self.log_path}", timeout_seconds)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def running(
    log_path: Path, *flags: str, program: str = "webui_server", timeout_seconds: float = 60
) -> Iterator[Runtime]:
    """On a port of its own choice, so that no two tests meet. Ready within ``timeout_seconds``."""
    with log_path.open("wb") as log:
        process = start_runtime("--port=0", *flags, log=log, program=program)
    runtime = Runtime(process, log_path)
    try:
        runtime.wait_until_served(timeout_seconds)
        yield runtime
    finally:
        process.kill()
        process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def receive_round(connection: websocket.WebSocket) -> str:
    """The text of one answer of a dialogue."""
    pieces: list[str] = []
    while (piece := connection.recv()) != "<EOS>":
        pieces.append(str(piece))
    return "".join(pieces)
