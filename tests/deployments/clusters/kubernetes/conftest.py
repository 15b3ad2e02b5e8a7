"""A backend on the shared cluster, in a namespace of the test's own."""

from __future__ import annotations

import pytest

from deployments.clusters.kubernetes.backend import KubernetesCluster
from tests.kube import KubeCluster, require_image


@pytest.fixture
def backend(kube: KubeCluster, namespace: str, db: None) -> KubernetesCluster:
    """Without a watcher: it looks by itself. Documents name the image ``tools``."""
    return KubernetesCluster(kube.settings(namespace, images={"tools": require_image(kube)}))
