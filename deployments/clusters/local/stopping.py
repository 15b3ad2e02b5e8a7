"""Ends instances: asks living shims, and clears up after dead ones. Needs neither Django nor a backend."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from deployments.clusters.local import folder as files
from deployments.clusters.local.processes import is_alive, kill_all, leftovers, send

INSTANCES = "instances"
LOCK_PATIENCE_SECONDS = 0.2
MARGIN_SECONDS = 5.0  # for shims to kill, write and leave, after the grace period


def instance_folders(service_folder: Path) -> Iterator[Path]:
    """Folders of instances, ended ones too; names with a dot in front are drafts."""
    try:
        entries = sorted(os.scandir(service_folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)


def retire(folder: Path, drain_seconds: float, grace_seconds: float) -> None:
    """Ask an instance to end. Its shim sees the wish within a second even when the signal is lost."""
    files.request_stop(str(folder), drain_seconds, grace_seconds)
    signal_shim(folder, signal.SIGTERM)


def signal_shim(folder: Path, number: int) -> None:
    state = files.find_state(str(folder))
    pid, start = state.get("shim_pid", 0), state.get("shim_start", "")
    if start and is_alive(pid, start):
        send([pid], number)


def bury(folder: Path) -> bool:
    """Clear up after an instance whose shim is dead: kill what it left, mark it ended.

    False while a shim holds the folder after all, or when something could not be killed.
    """
    with files.hold(str(folder / files.LOCK), LOCK_PATIENCE_SECONDS) as is_ours:
        if not is_ours:
            return False
        state = files.find_state(str(folder))
        pid, start, boot = state.get("program_pid", 0), state.get("program_start", ""), state.get("boot_id", "")
        if not kill_all(lambda: leftovers(str(folder), pid, start, boot)):
            return False
        for name in (files.WORK, files.TEMP, files.VOLUMES):
            shutil.rmtree(folder / name, ignore_errors=True)
        files.write_json(str(folder / files.STATE), state | files.NOTHING_RUNS | {"phase": files.ENDED})
        return True


def is_ended(folder: Path) -> bool:
    """Whether nothing of the instance is left but its folder; the shim says so just before it leaves."""
    return files.find_state(str(folder)).get("phase") == files.ENDED and not files.is_locked(str(folder))


def has_left(folder: Path) -> bool:
    """Whether an instance has ended, clearing up where its shim died over it."""
    return is_ended(folder) or (not files.is_locked(str(folder)) and bury(folder))


def stop_all(data_dir: Path, grace_seconds: float) -> int:
    """End every instance of one data directory and return how many there were; nothing is left when it returns.

    For an orderly stop of Slipway, after beat and worker: what was wanted stays wanted, and the next ``apply``
    starts new instances. No instance gets more than ``grace_seconds`` (its own grace period, where shorter).
    """
    services = instance_folders(data_dir.resolve() / INSTANCES)
    folders = [folder for service in services for folder in instance_folders(service) if not is_ended(folder)]
    grace = 0.0
    for folder in folders:
        launch = files.find_launch(str(folder))
        own_grace = min(grace_seconds, launch["grace_seconds"] if launch else 0.0)
        grace = max(grace, own_grace)
        retire(folder, 0.0, own_grace)
    pending = list(folders)
    deadline = time.monotonic() + grace + MARGIN_SECONDS
    while pending and time.monotonic() < deadline:
        pending = [folder for folder in pending if not has_left(folder)]
        if pending:
            time.sleep(0.02)
    for folder in pending:
        signal_shim(folder, signal.SIGKILL)
    deadline = time.monotonic() + MARGIN_SECONDS
    while pending and time.monotonic() < deadline:
        pending = [folder for folder in pending if not bury(folder)]
    return len(folders)
