"""Looking at the local cluster from outside: its processes and its files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from deployments.clusters.local import folder as files
from deployments.clusters.local.backend import LocalCluster
from deployments.clusters.local.processes import process_ids, read_text
from tests.waiting import wait_until


def environment_of(pid: int) -> str:
    return read_text(f"/proc/{pid}/environ")


def processes_of(data_dir: Path) -> list[str]:
    """Command lines of every process that belongs to an instance under ``data_dir``, shims too."""
    root = os.fspath(data_dir)
    found = []
    for pid in process_ids():
        command = read_text(f"/proc/{pid}/cmdline").replace("\0", " ")
        is_shim = "shim.py" in command and root in command
        if is_shim or f"SLIPWAY_INSTANCE={root}" in environment_of(pid):
            found.append(f"{pid} {command}")
    return found


def folder_of(cluster: LocalCluster, name: str, uid: str = "u1") -> Path:
    return cluster.root / uid / name


def state_of(cluster: LocalCluster, name: str, uid: str = "u1") -> files.State:
    return files.find_state(str(folder_of(cluster, name, uid)))


def programs_of(data_dir: Path) -> list[str]:
    return [line for line in processes_of(data_dir) if "shim.py" not in line]


def shims_of(data_dir: Path) -> list[str]:
    return [line for line in processes_of(data_dir) if "shim.py" in line]


def kill_shim(cluster: LocalCluster, name: str) -> None:
    """Returns when the cluster has noticed."""
    os.kill(state_of(cluster, name)["shim_pid"], signal.SIGKILL)
    wait_until(lambda: not files.is_locked(str(folder_of(cluster, name))), "the end of the shim")
