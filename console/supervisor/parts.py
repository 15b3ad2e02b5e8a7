"""One part of Slipway as a child process: started, restarted with a growing pause, ended for certain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.environment import REPOSITORY

LARGEST_LOG_BYTES = 10 * 1024 * 1024
LONGEST_PAUSE_SECONDS = 10.0
#: Who ran this long has started well: the next failure is a first one again.
STEADY_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class PartSpec:
    """What a part is."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    grace_seconds: float  # from SIGTERM to SIGKILL
    inherited: tuple[int, ...] = ()  # file descriptors the part keeps
    is_standby: bool = False  # waits for ``Part.hand_over``


def render_death_pact(parent: int) -> Callable[[], None] | None:
    """What a fresh child calls first: the kernel kills it when the supervisor dies, even by ``kill -9``.

    Elsewhere than on Linux there is no such call; there the next start ends what was left (``leftovers``).
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: the child should do as little as it can

    def swear() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os.kill(os.getpid(), signal.SIGKILL)

    return swear


class Part:
    """A part's process. Every method returns at once."""

    def __init__(self, spec: PartSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # monotonic
        self.failures = 0
        self.next_start_at = 0.0
        self._terminated_at: float | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> int:
        """Start the process and return its id. Its own session keeps the terminal's Ctrl-C away from it."""
        with self.spec.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.spec.command,
                cwd=REPOSITORY,
                env=self.spec.environment,
                stdin=subprocess.PIPE if self.spec.is_standby else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.spec.inherited,
                preexec_fn=render_death_pact(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            )
        return self._note_start(self.process)

    def take_over(self, process: subprocess.Popen[bytes]) -> int:
        """The same with a process that a standby has handed over."""
        self.process = process
        return self._note_start(process)

    def hand_over(self, log: Path) -> subprocess.Popen[bytes] | None:
        """Tell a standby to begin, with its words in ``log``; its process is this part's no more. None: it died."""
        process = self.process
        if process is None or process.poll() is not None:
            return None
        assert process.stdin is not None
        try:
            process.stdin.write(f"{log}\n".encode())
            process.stdin.close()
        except OSError:
            return None
        self.process = None
        return process

    def _note_start(self, process: subprocess.Popen[bytes]) -> int:
        self.started_at = time.monotonic()
        self._terminated_at = None
        return process.pid

    def reap(self) -> int | None:
        """The exit code of a process that has ended, told once; what is left of its group is killed."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is None:
            return None
        _kill_group(self.process.pid)
        now = time.monotonic()
        self.failures = 1 if now - self.started_at > STEADY_SECONDS else self.failures + 1
        pause = 0.0 if self.failures == 1 else min(0.5 * 2 ** (self.failures - 2), LONGEST_PAUSE_SECONDS)
        self.next_start_at = now + pause
        self.process = None
        return code

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            _kill_group(self.process.pid)

    def terminate(self) -> None:
        """Ask it to end, once."""
        if self.process is not None and self._terminated_at is None:
            self._terminated_at = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def is_gone(self) -> bool:
        """After ``terminate``: whether it has ended. It is killed when its grace is over."""
        if self.process is None:
            return True
        if self.process.poll() is not None:
            _kill_group(self.process.pid)
            self.process = None
            return True
        if self._terminated_at is not None and time.monotonic() - self._terminated_at > self.spec.grace_seconds:
            self.kill()
        return False

    def tail(self, lines: int = 15) -> list[str]:
        """The last lines of its log."""
        try:
            with self.spec.log.open("rb") as file:
                file.seek(max(0, self.spec.log.stat().st_size - 16384))
                return file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except FileNotFoundError:
            return []


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def rotate(log: Path) -> None:
    """Move a log that has grown too large to ``NAME.1``.

    Copied and cut, not renamed: the part goes on writing (at the end, wherever that is) to the file it has.
    """
    try:
        if log.stat().st_size < LARGEST_LOG_BYTES:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
