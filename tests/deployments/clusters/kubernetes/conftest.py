"""A backend on the shared cluster, in a namespace of the test's own."""

from __future__ import annotations

import pytest

from deployments.clusters.kubernetes.backend import KubernetesCluster


@pytest.fixture
def backend(kubernetes: KubernetesCluster) -> KubernetesCluster:
    return kubernetes
