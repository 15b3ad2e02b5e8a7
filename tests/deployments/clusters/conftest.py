"""Clusters under test, each with a cleaning that fails the test where something was left running."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.clusters.base import Cluster
from deployments.clusters.kubernetes.backend import KubernetesCluster
from deployments.clusters.local import stop_all
from deployments.clusters.local.backend import LocalCluster
from tests.deployments.clusters.looking import processes_of
from tests.kube import KubeCluster, require_image


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


@pytest.fixture
def kubernetes(kube: KubeCluster, namespace: str, db: None) -> KubernetesCluster:
    """Without a watcher: it looks by itself. Documents name the image ``tools``."""
    return KubernetesCluster(kube.settings(namespace, images={"tools": require_image(kube)}))


@pytest.fixture(params=["local", pytest.param("kubernetes", marks=[pytest.mark.kubernetes, pytest.mark.django_db])])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Every backend in turn; a new one joins by its name and a fixture of that name."""
    backend: Cluster = request.getfixturevalue(request.param)
    return backend
