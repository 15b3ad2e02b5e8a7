"""One instance's folder: the files in it, who writes each, and the lock that says whether its shim lives.

| file          | written by | what                                                                         |
| ------------- | ---------- | ---------------------------------------------------------------------------- |
| `launch.json` | backend    | what to run; never changes                                                   |
| `state.json`  | shim       | what runs now and how the last program ended (a reaper writes it for the dead) |
| `stop.json`   | backend    | the wish to end: drain and grace; once there, it stays                       |
| `lock`        | shim       | flock'ed for the shim's whole life: held means alive, whatever `state.json` says |
| `log/`        | shim       | the program's output; outlives the instance                                  |
| `work/`       | program    | working folder and HOME; removed at the end                                  |

Standard library only, and no slow imports: every shim loads this.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, NotRequired, TypedDict

LAUNCH, STATE, STOP, LOCK = "launch.json", "state.json", "stop.json", "lock"
LOG, WORK, TEMP, VOLUMES = "log", "work", "tmp", "volumes"
ENDED = "Ended"  # no observation shows this phase: only state and log are left


class RequiredFolder(TypedDict):
    """A mounted folder that has to be there before each start."""

    path: str
    mount_path: str
    source: str


class Launch(TypedDict):
    """What to run. Times are Unix seconds."""

    service_uid: str
    service_name: str
    revision: int
    restart_token: str
    created_at: float
    argv: list[str]
    #: `$PORT` is replaced in the arguments from here on (a shell replaces it in the others).
    port_from: int
    env: dict[str, str]
    folders: list[RequiredFolder]
    memory_mib: int | None
    cpu_cores: float | None
    crash_block: bool
    grace_seconds: float
    ports_folder: str


class Cause(NamedTuple):
    """What a shim knows of why a program ended: a code of ``deployments.failures.CAUSES`` and its values."""

    code: str
    values: dict[str, str | int]


class Exit(TypedDict):
    """How a program ended; ``base.ProgramExit`` on disk."""

    exit_code: int
    reason: str
    message: str
    started_at: float | None
    finished_at: float
    log_tail: list[str]
    cause: NotRequired[str]  # absent in what an older shim wrote
    values: NotRequired[dict[str, str | int]]


class State(TypedDict, total=False):
    """What a shim knows. ``*_start`` tell a process from a later one with the same id."""

    phase: str
    boot_id: str
    shim_pid: int
    shim_start: str
    program_pid: int  # also its process group and session
    program_start: str
    port: int
    started_at: float | None
    run: int  # the program now or last started, from 0
    restart_count: int
    delay_seconds: float
    retry_at: float | None
    last_exit: Exit | None


#: The part of a state that says so.
NOTHING_RUNS: State = {"program_pid": 0, "program_start": "", "started_at": None, "retry_at": None}


class Stop(TypedDict):
    """The wish to end."""

    requested_at: float
    drain_seconds: float
    grace_seconds: float


def write_json(path: str, value: Any) -> None:
    """Whole or not at all: readers see the old text or the new one."""
    draft = f"{path}.{os.getpid()}.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(draft, path)


def find_json(path: str) -> Any:
    """The object in a file, or None: absent, or cut short by a crash of the machine."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def find_launch(folder: str) -> Launch | None:
    launch: Launch | None = find_json(os.path.join(folder, LAUNCH))
    return launch


def find_state(folder: str) -> State:
    state: State | None = find_json(os.path.join(folder, STATE))
    return state or {}


def find_stop(folder: str) -> Stop | None:
    stop: Stop | None = find_json(os.path.join(folder, STOP))
    return stop


def is_stopping(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, STOP))


def request_stop(folder: str, drain_seconds: float, grace_seconds: float) -> None:
    """Note the wish to end. A later wish can only shorten an earlier one."""
    earlier = find_stop(folder)
    wish = Stop(requested_at=time.time(), drain_seconds=drain_seconds, grace_seconds=grace_seconds)
    if earlier is not None:
        wish["requested_at"] = earlier["requested_at"]
        wish["drain_seconds"] = min(drain_seconds, earlier["drain_seconds"])
        wish["grace_seconds"] = min(grace_seconds, earlier["grace_seconds"])
        if wish == earlier:
            return
    write_json(os.path.join(folder, STOP), wish)


def is_locked(folder: str) -> bool:
    """Whether a shim (or a reaper) holds the folder now."""
    try:
        descriptor = os.open(os.path.join(folder, LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def find_lock(path: str, patience_seconds: float) -> int | None:
    """A descriptor that holds ``path``'s lock, or None while another process has it.

    The patience covers what holds it for microseconds only: ``is_locked`` of other processes.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A lock on a file that was removed meanwhile guards nothing.
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.01)


@contextlib.contextmanager
def hold(path: str, patience_seconds: float) -> Iterator[bool]:
    """Hold a lock for a while; yields False where another process kept it."""
    descriptor = find_lock(path, patience_seconds)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            release_lock(descriptor)


def release_lock(descriptor: int) -> None:
    """Explicitly, not by closing alone: a child that another thread just forked may hold a copy."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
