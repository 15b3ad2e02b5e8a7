"""An engine's process as the runtime sees it: started, told when its model is loaded, its log passed on, ended."""

from __future__ import annotations

import abc
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deployments.bytes_done import BytesDone, pause_seconds
from inference_gateway.runtime.load_progress import Loaded, LoadProgress, list_weights
from inference_gateway.runtime.model_files import ModelFiles

if TYPE_CHECKING:  # Loading these while the model loads saves half of a start: see ``serve``.
    import aiohttp

    from inference_gateway.engines.base import Engine

logger = logging.getLogger("slipway.engine")

MAX_SOCKET_PATH_BYTES = 100  # some systems take 103, Linux 107

#: OpenMP's threads sleep while they wait. By default they spin: four dialogues beside three busy processes
#: on 2 cores then made 2 tokens/s together, and 29 so.
WAIT_POLICY = "passive"

_CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


class EngineProcess(abc.ABC):
    """One engine. ``start`` once, ``stop`` at the end; both from the main thread.

    ``on_change`` is called from another thread when ``is_ready`` has become true and when the process has
    ended. ``failure`` then says why, where nobody stopped it.
    """

    #: It starts processes of its own, which end by their group.
    has_own_group = False

    def __init__(self, model: ModelFiles) -> None:
        self.model = model
        # Only this user may enter a folder made so; the socket inside has no other guard.
        self._folder = Path(tempfile.mkdtemp(prefix="slipway-"))
        self._folder_descriptor = os.open(self._folder, os.O_RDONLY)
        self.socket_path = name_socket(self._folder, self._folder_descriptor)
        self.on_change: Callable[[], None] = lambda: None
        self.is_ready = False
        self.failure: str | None = None
        self.load_seconds = 0.0
        self._is_stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._last_errors: deque[str] = deque(maxlen=3)
        self._threads_running: list[threading.Thread] = []
        self._is_through = threading.Event()  # loaded, or ended before
        self._progress = LoadProgress(list_weights(model.path))

    @abc.abstractmethod
    def render_command(self) -> list[str]:
        """The program, which writes ``ready`` to standard output once it answers at ``socket_path``."""

    @abc.abstractmethod
    def render_environment(self) -> dict[str, str]: ...

    @abc.abstractmethod
    def read_line(self, line: str) -> tuple[int, str | None]:
        """Level of a line of its log in ours, and the reason of an end that it may give."""

    @abc.abstractmethod
    def describe_load_failure(self, reason: str) -> str:
        """One sentence with the cure. ``reason`` has no full stop."""

    @abc.abstractmethod
    def make_engine(self, session: aiohttp.ClientSession, name: str) -> Engine:
        """What asks it, over ``session``, which connects to ``socket_path``."""

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.render_command(),
            env=self.render_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(self._folder_descriptor,),
            process_group=0 if self.has_own_group else None,
        )
        started = time.monotonic()
        errors = threading.Thread(target=self._pass_log, args=(self._process.stderr,), daemon=True)
        watcher = threading.Thread(target=self._watch, args=(self._process, errors, started), daemon=True)
        teller = threading.Thread(target=self._tell_load, args=(started,), daemon=True)
        self._threads_running = [errors, watcher, teller]
        for thread in self._threads_running:
            thread.start()

    def look_at_load(self) -> Loaded | None:
        """How much of the weights is in memory, where that is known. May be called from any thread."""
        return self._progress.look(self._process.pid) if self._process is not None else None

    def stop(self) -> None:
        """End the process and remove its socket. Safe to call twice, and before ``start``."""
        self._is_stopping = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for thread in self._threads_running:
                thread.join(timeout=5)
            if self._process.stdin is not None:
                self._process.stdin.close()
        if self._folder.exists():
            os.close(self._folder_descriptor)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self, process: subprocess.Popen[bytes], errors: threading.Thread, started: float) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"ready"):
                self.load_seconds = time.monotonic() - started
                self.is_ready = True
                self._is_through.set()
                self.on_change()
        self._is_through.set()
        code = process.wait()
        errors.join(timeout=5)
        if not self._is_stopping:
            self.failure = self._describe_end(code)
        self.is_ready = False
        self.on_change()

    def _tell_load(self, started: float) -> None:
        """To the log, for those who read nothing else (``bytes_done``): what is new, and of a short load nothing."""
        told = None
        while not self._is_through.wait(pause_seconds(time.monotonic() - started)):
            found = self.look_at_load()
            if found != told and found is not None:
                logger.info("%s", BytesDone(found.bytes, found.of_bytes).line("loaded"))
                told = found

    def _describe_end(self, code: int) -> str:
        reason = (" ".join(self._last_errors) or f"it ended with {code}").rstrip(".")
        if self.load_seconds:
            return f"The engine of {self.model.name} ended: {reason}."
        return self.describe_load_failure(reason)

    def _pass_log(self, lines: IO[bytes]) -> None:
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            level, reason = self.read_line(text)
            if reason is not None:
                self._last_errors.append(reason)
            logger.log(level, "%s", text)


def name_socket(folder: Path, descriptor: int) -> str:
    """The socket's path in ``folder``, or, where that is too long for a socket, by way of the open descriptor.

    The kernel takes 107 bytes, and a data folder may lie deep. Both processes hold the descriptor.
    """
    path = str(folder / "engine.sock")
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES or sys.platform != "linux":
        return path
    return f"/proc/self/fd/{descriptor}/engine.sock"


def count_cores() -> int:
    """Cores that this process may use: those it is pinned to, less where its control group gives less time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_CPU.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
