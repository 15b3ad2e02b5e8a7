"""The kinds of objects that Slipway reads or writes, and where the API server keeps them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

#: An object as JSON: what is rendered, and what the API server answers.
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """``group_path`` is ``/api/v1`` for the core group and ``/apis/<group>/<version>`` for any other."""

    name: str
    group_path: str
    plural: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        return self.group_path.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str, name: str = "") -> str:
        """Of the kind's objects, or of one; every part is encoded, so that a name cannot climb out of its place."""
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.is_namespaced and namespace else ""
        return f"{self.group_path}{inside}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


DEPLOYMENT = Kind("Deployment", "/apis/apps/v1", "deployments")
REPLICA_SET = Kind("ReplicaSet", "/apis/apps/v1", "replicasets")
POD = Kind("Pod", "/api/v1", "pods")
SERVICE = Kind("Service", "/api/v1", "services")
SECRET = Kind("Secret", "/api/v1", "secrets")
CLAIM = Kind("PersistentVolumeClaim", "/api/v1", "persistentvolumeclaims")
VOLUME = Kind("PersistentVolume", "/api/v1", "persistentvolumes", is_namespaced=False)
AUTOSCALER = Kind("HorizontalPodAutoscaler", "/apis/autoscaling/v2", "horizontalpodautoscalers")
BUDGET = Kind("PodDisruptionBudget", "/apis/policy/v1", "poddisruptionbudgets")
NETWORK_POLICY = Kind("NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies")
ENDPOINT_SLICE = Kind("EndpointSlice", "/apis/discovery.k8s.io/v1", "endpointslices")
EVENT = Kind("Event", "/api/v1", "events")
NAMESPACE = Kind("Namespace", "/api/v1", "namespaces", is_namespaced=False)
NODE = Kind("Node", "/api/v1", "nodes", is_namespaced=False)
QUOTA = Kind("ResourceQuota", "/api/v1", "resourcequotas")
CSI_DRIVER = Kind("CSIDriver", "/apis/storage.k8s.io/v1", "csidrivers", is_namespaced=False)
STORAGE_CLASS = Kind("StorageClass", "/apis/storage.k8s.io/v1", "storageclasses", is_namespaced=False)

#: What Slipway itself writes for a service. What it makes no longer is deleted, of these kinds alone.
WRITTEN = (
    SECRET, VOLUME, CLAIM, NETWORK_POLICY, SERVICE, DEPLOYMENT, BUDGET, AUTOSCALER,
)  # fmt: skip
#: What the cluster makes of those, with the same labels: a service is gone once these are, too.
MADE_BY_CLUSTER = (REPLICA_SET, POD, ENDPOINT_SLICE)

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*WRITTEN, *MADE_BY_CLUSTER, EVENT, NAMESPACE, NODE, QUOTA, CSI_DRIVER, STORAGE_CLASS)
}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Raises ``KeyError`` for a kind that Slipway knows nothing of."""
    return KINDS[manifest["kind"]]


def key_of(manifest: Mapping[str, Any]) -> str:
    """``Kind/name``, unique among one namespace's objects and the cluster's."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
