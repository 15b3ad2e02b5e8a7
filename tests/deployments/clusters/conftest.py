"""Clusters under test, each with a cleaning that fails the test where something was left running."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.clusters.base import Cluster
from deployments.clusters.local import stop_all
from deployments.clusters.local.backend import LocalCluster
from deployments.clusters.local.processes import process_ids, read_text


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


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="slipway-cluster-")).resolve()
    yield folder
    stop_all(folder, 0.5)
    left = processes_of(folder)
    shutil.rmtree(folder)
    assert not left


@pytest.fixture
def local(data_dir: Path) -> LocalCluster:
    return LocalCluster(data_dir)


@pytest.fixture(params=["local"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Every backend in turn; a new one joins by its name and a fixture of that name."""
    backend: Cluster = request.getfixturevalue(request.param)
    return backend
