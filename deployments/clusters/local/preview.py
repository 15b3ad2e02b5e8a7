"""What the local cluster would run, beside what runs: the process of one instance, as its shim would start it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments.clusters.base import ClusterError, Workload
from deployments.clusters.local.folder import Launch
from deployments.clusters.local.launch import Place, render_launch
from deployments.clusters.local.observing import look
from deployments.clusters.local.processes import MARKER
from deployments.clusters.preview import Check, ObjectPreview, Preview, mask_value
from deployments.spec import ServiceSpec
from deployments.words import say

#: Stands for the instance's own folder, which has another name each time.
OWN_FOLDER = "$INSTANCE"
SHOWN = ("argv", "env", "folders", "memory_mib", "cpu_cores", "crash_block", "grace_seconds")


def preview_process(workload: Workload, folder: Path, oss_folder: Path, environment: Mapping[str, str]) -> Preview:
    """``folder`` is the service's, whether it is there or not."""
    own = folder / f"preview-{secrets.token_hex(8)}"
    try:
        wanted = shown(render_launch(workload, Place(own, oss_folder), environment), own)
    except ClusterError as problem:
        failed = Check("cluster", "fails", problem.message, problem.cure, problem.code)
        return Preview(checks=(failed,))
    live: dict[str, Any] | None = None
    changed: tuple[str, ...] = ()
    if running := newest(folder):
        live = shown(running[0], running[1])
        changed = hidden_changes(wanted["env"], live["env"])
    one = ObjectPreview(f"Process/{workload.service_name}", masked(wanted), live and masked(live), changed)
    told = say("Nothing is reserved on this machine: it starts at once.")
    mounts = any(mount.oss is not None for mount in workload.spec.mounts)
    return Preview((one,), (Check("capacity", "ok", told),), needs_access=mounts)


def newest(folder: Path) -> tuple[Launch, Path] | None:
    """What the instance that started last runs, and its folder."""
    there = [
        (seen.launch, seen.folder) for seen in look(folder) if seen.launch and seen.is_kept and not seen.is_stopping
    ]
    return max(there, key=lambda one: one[0]["created_at"], default=None)


def shown(launch: Launch, folder: Path) -> dict[str, Any]:
    """The part that a document decides, with the instance's folder under a name that stays."""
    part = {name: value for name, value in launch.items() if name in SHOWN and value is not None}
    part["env"] = {name: value for name, value in launch["env"].items() if name != MARKER}
    text = json.dumps(part).replace(json.dumps(str(folder))[1:-1], OWN_FOLDER)
    found: dict[str, Any] = json.loads(text)
    return found


def masked(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part, "env": {name: mask_value(name, value) for name, value in part["env"].items()}}


def hidden_changes(wanted: Mapping[str, str], live: Mapping[str, str]) -> tuple[str, ...]:
    """Paths of the secrets that would change, which look the same once masked."""
    return tuple(
        f"env.{name}" for name, value in wanted.items()
        if mask_value(name, value) != value and name in live and live[name] != value
    )  # fmt: skip


def check_folders(spec: ServiceSpec, oss_folder: Path) -> tuple[Check, ...]:
    """Whether each mounted OSS path is a folder, or a file, of the local object store."""
    return tuple(
        check_folder(mount.oss.path, oss_folder / mount.oss.bucket / mount.oss.prefix)
        for mount in spec.mounts
        if mount.oss is not None
    )


def check_folder(path: str, folder: Path) -> Check:
    values = {"path": path}
    try:
        is_there, is_empty = folder.exists(), folder.is_dir() and not any(folder.iterdir())
    except OSError as problem:
        told = say("%(path)s cannot be read: %(reason)s.", path=path, reason=problem.strerror or str(problem))
        return Check("storage", "fails", told, say("Correct the permissions of its folder."), "storage_denied", values)
    if not is_there:
        told = say("%(path)s is not there.", path=path)
        cure = say("Put the files into %(folder)s, or correct the path.", folder=str(folder))
        return Check("storage", "fails", told, cure, "storage_missing", values)
    if is_empty:
        told = say("%(path)s is empty.", path=path)
        cure = say("Put the files into %(folder)s, or correct the path.", folder=str(folder))
        return Check("storage", "fails", told, cure, "storage_empty", values)
    return Check("storage", "ok", say("%(path)s can be read.", path=path), values=values)
