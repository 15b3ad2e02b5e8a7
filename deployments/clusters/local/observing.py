"""Reads what instances' folders say: a few small files and a lock each, no search for processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deployments.clusters.base import InstanceObservation, InstancePhase, ProgramExit
from deployments.clusters.local import folder as files
from deployments.clusters.local.ports import HOST
from deployments.clusters.local.stopping import instance_folders


@dataclass(frozen=True, slots=True)
class Seen:
    """One instance's folder, read once."""

    folder: Path
    launch: files.Launch | None  # None: lost, with the machine's power for instance
    state: files.State
    is_stopping: bool
    is_kept: bool  # its shim lives
    changed_at: float

    @property
    def has_ended(self) -> bool:
        """The shim says so just before it leaves, too."""
        return self.state.get("phase") == files.ENDED and not self.is_kept


def look(service_folder: Path) -> Iterator[Seen]:
    """Every instance of a service, by name, ended ones too."""
    for folder in instance_folders(service_folder):
        place = str(folder)
        # The lock before the state: a shim that ends in between is seen as ended, not as dead.
        is_kept = files.is_locked(place)
        try:
            changed_at = os.stat(place).st_mtime
        except FileNotFoundError:
            continue  # removed meanwhile
        yield Seen(
            folder=folder,
            launch=files.find_launch(place),
            state=files.find_state(place),
            is_stopping=files.is_stopping(place),
            is_kept=is_kept,
            changed_at=changed_at,
        )


def observe_instance(seen: Seen) -> InstanceObservation:
    """The folder's words in the interface's."""
    launch, state = seen.launch, seen.state
    last_exit = state.get("last_exit")
    is_running = seen.is_kept and state.get("phase") in ("Running", "Stopping")
    return InstanceObservation(
        name=seen.folder.name,
        revision=launch["revision"] if launch else 0,
        phase=phase_of(seen),
        restart_token=launch["restart_token"] if launch else "",
        host=HOST if seen.is_kept and state.get("port") else "",
        port=state.get("port", 0) if seen.is_kept else 0,
        created_at=moment(launch["created_at"] if launch else None),
        started_at=moment(state.get("started_at")) if is_running else None,
        restart_count=max(state.get("restart_count", 0), 0),
        last_exit=exit_of(last_exit) if last_exit else None,
        retry_at=moment(state.get("retry_at")),
        log_tail=tuple(last_exit["log_tail"]) if last_exit else (),
        folders=tuple((each["path"], document_name(each)) for each in launch["folders"]) if launch else (),
    )


def phase_of(seen: Seen) -> InstancePhase:
    """The wish to end comes first; a dead shim's last word is worth nothing."""
    if seen.is_stopping:
        return InstancePhase.STOPPING
    if not seen.is_kept:
        return InstancePhase.PENDING
    try:
        return InstancePhase(seen.state.get("phase", "Creating"))
    except ValueError:
        return InstancePhase.CREATING


def exit_of(last: files.Exit) -> ProgramExit:
    finished_at = moment(last["finished_at"])
    assert finished_at is not None
    return ProgramExit(
        exit_code=last["exit_code"],
        reason=last["reason"],
        message=last["message"],
        started_at=moment(last["started_at"]),
        finished_at=finished_at,
        cause=last.get("cause", ""),
        values=last.get("values", {}),
    )


def document_name(required: files.RequiredFolder) -> str:
    """A folder as the document names it: its source, or, for one of the instance alone, where it is mounted."""
    return required["source"] if "://" in required["source"] else required["mount_path"]


def moment(unix_seconds: float | None) -> datetime | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC)
