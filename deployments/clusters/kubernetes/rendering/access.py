"""How the service is reached, and what it knows of itself: Service and Secret."""

from __future__ import annotations

import base64

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.names import own_labels
from deployments.clusters.kubernetes.rendering.containers import PORT_NAME
from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.settings import KubernetesSettings

TOKEN_KEY = "token"


def render_service(name: str, workload: Workload, settings: KubernetesSettings) -> Manifest:
    """One address for the instances that are ready. Through a node, only its own pods answer, so that the gateway
    reaches the one it has chosen.
    """
    ports = [{"name": PORT_NAME, "port": workload.spec.container.port, "targetPort": PORT_NAME, "protocol": "TCP"}]
    spec: Manifest = {
        "type": "ClusterIP",
        "selector": own_labels(settings.installation, workload.service_uid),
        "ports": ports,
    }
    if settings.pod_access == "node":
        spec |= {"type": "NodePort", "externalTrafficPolicy": "Local"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def render_secret(name: str, facts: ClusterFacts) -> Manifest | None:
    """The service's token; None where there is nothing to keep."""
    values = {TOKEN_KEY: facts.token} if facts.token else {}
    if not values:
        return None
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}
