"""How the service is reached, and by whom: Service and NetworkPolicy."""

from __future__ import annotations

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.names import own_labels
from deployments.clusters.kubernetes.rendering.containers import PORT_NAME
from deployments.clusters.kubernetes.rendering.facts import Manifest
from deployments.clusters.kubernetes.settings import KubernetesSettings

#: Slipway's own pods that talk to instances (k8s/base/platform): gateways, and workers that ask for a token.
GATEWAY_LABELS = {"slipway.dev/image": "slipway"}
GATEWAY_COMPONENTS = ("console", "gateway", "worker")


def render_service(name: str, workload: Workload, settings: KubernetesSettings) -> Manifest:
    """One address for the instances that are ready. Through a node, only its own pods answer, so that the gateway
    reaches the one it has chosen.
    """
    port = workload.spec.container.port
    spec: Manifest = {
        "type": "ClusterIP",
        "selector": own_labels(settings.installation, workload.service_uid),
        "ports": [{"name": PORT_NAME, "port": port, "targetPort": PORT_NAME, "protocol": "TCP"}],
    }
    if settings.pod_access == "node":
        spec |= {"type": "NodePort", "externalTrafficPolicy": "Local"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def render_network_policy(name: str, workload: Workload, settings: KubernetesSettings) -> Manifest:
    """Who may connect: Slipway's gateway, to the port that answers requests.

    The API server and nodes are no pods that a policy could name, so where they bring the requests, whoever reaches
    the pod may use that port, and none but that.
    """
    rule: Manifest = {"ports": [{"port": workload.spec.container.port, "protocol": "TCP"}]}
    if settings.pod_access == "pod":
        rule["from"] = [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.gateway_namespace}},
                "podSelector": {
                    "matchLabels": GATEWAY_LABELS,
                    "matchExpressions": [
                        {"key": "app.kubernetes.io/component", "operator": "In", "values": list(GATEWAY_COMPONENTS)}
                    ],
                },
            }
        ]
    spec = {
        "podSelector": {"matchLabels": own_labels(settings.installation, workload.service_uid)},
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    }
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}
