"""A backend on the shared cluster; a worker behind a proxy that misbehaves, in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.clusters.kubernetes.backend import KubernetesCluster
from deployments.clusters.kubernetes.connection import Connection
from tests.deployments.clusters.kubernetes.crash_cases import BY_DRIVER
from tests.deployments.clusters.kubernetes.worker_process import Worker, working
from tests.kube import KubeCluster, fresh_namespace
from tests.kube_faults import FaultProxy, fault_proxy


@pytest.fixture
def backend(kubernetes: KubernetesCluster) -> KubernetesCluster:
    return kubernetes


@pytest.fixture
def place(objects_only: KubeCluster) -> Iterator[Connection]:
    """A fresh namespace with fake nodes, and the way to it."""
    objects_only.steer("fake-nodes", "2", "2")
    with fresh_namespace(objects_only) as name:
        yield Connection(objects_only.settings(name, requests_a_second=1000.0))


@pytest.fixture
def proxy(objects_only: KubeCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with fault_proxy(objects_only.kubeconfig, tmp_path) as found:
        yield found


@pytest.fixture
def worker(proxy: FaultProxy, place: Connection, tmp_path: Path) -> Iterator[Worker]:
    with working(proxy.kubeconfig, place.namespace, tmp_path, **BY_DRIVER) as found:
        yield found
