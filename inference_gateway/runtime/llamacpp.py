"""Starts the engine's process, tells when its model is loaded, passes its log on, and ends it."""

from __future__ import annotations

import json
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
from typing import IO

from inference_gateway.runtime.model_files import ModelFile

logger = logging.getLogger("slipway.engine")

#: The letter after the time stamp of llama.cpp's lines.
_LEVELS = {"D": logging.DEBUG, "I": logging.DEBUG, "W": logging.DEBUG, "E": logging.WARNING}

#: Run by its path: it needs nothing of this package, and so starts from any working folder.
_PROGRAM = Path(__file__).with_name("engine_process.py")

MAX_SOCKET_PATH_BYTES = 100  # some systems take 103, Linux 107

#: OpenMP's threads sleep while they wait. By default they spin: four dialogues beside three busy processes
#: on 2 cores then made 2 tokens/s together, and 29 so.
_WAIT_POLICY = "passive"

_CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


class LlamaProcess:
    """One engine. ``start`` once, ``stop`` at the end; both from the main thread.

    ``on_change`` is called from another thread when ``is_ready`` has become true and when the process has
    ended. ``failure`` then says why, where nobody stopped it.
    """

    def __init__(self, model: ModelFile, context_tokens: int, slots: int, threads: int | None) -> None:
        self._model = model
        self._context_tokens = context_tokens
        self._slots = slots
        # Threads of one step wait for each other after every layer, so one that another busy process keeps
        # from its core stalls all. Measured on 2 cores: 119 tokens/s with two threads and 75 with one on an
        # idle machine, 10 and 54 beside two busy processes. Prompts, and tokens of several dialogues at
        # once, are larger steps and take every core.
        cores = count_cores()
        self._threads = threads or max(1, cores - 1)
        self._prompt_threads = threads or cores
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

    def start(self) -> None:
        settings = {
            "path": str(self._model.path),
            "socket": self.socket_path,
            "slots": self._slots,
            "context_tokens": self._context_tokens,
            "threads": self._threads,
            "prompt_threads": self._prompt_threads,
            "parent": os.getpid(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), json.dumps(settings)],
            env={"OMP_WAIT_POLICY": _WAIT_POLICY, **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(self._folder_descriptor,),
        )
        started = time.monotonic()
        errors = threading.Thread(target=self._pass_log, args=(self._process.stderr,), daemon=True)
        watcher = threading.Thread(target=self._watch, args=(self._process, errors, started), daemon=True)
        self._threads_running = [errors, watcher]
        for thread in self._threads_running:
            thread.start()

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
                self.on_change()
        code = process.wait()
        errors.join(timeout=5)
        if not self._is_stopping:
            self.failure = self._describe_end(code)
        self.is_ready = False
        self.on_change()

    def _describe_end(self, code: int) -> str:
        reason = " ".join(self._last_errors) or f"it ended with {code}"
        if self.load_seconds:
            return f"The engine of {self._model.name} ended: {reason}."
        tokens = self._slots * self._context_tokens
        cure = f"Check the file, and that {tokens} tokens of context fit in memory (--slots, --context)."
        return f"Model file {self._model.path} could not be loaded: {reason}. {cure}"

    def _pass_log(self, lines: IO[bytes]) -> None:
        """llama.cpp says much that is news to nobody: its warnings are our debugging, and what it calls an
        error is mostly a request that it refused.
        """
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            words = text.split(None, 2)
            level = _LEVELS.get(words[1], logging.INFO) if len(words) > 2 else logging.DEBUG
            if level == logging.WARNING:
                self._last_errors.append(words[2])
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
