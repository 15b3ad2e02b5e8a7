"""How this Slipway uses its Kubernetes cluster: the settings of ``console.environment``, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: How HTTP reaches a pod. ``pod``: at its own address, which only other pods and nodes can route to. ``proxy``: through
#: the API server. ``node``: at its node's address and a node port.
PodAccess = Literal["pod", "proxy", "node"]

#: Images that recipes name and no registry has under that name.
OWN_IMAGES: Mapping[str, str] = {"chat-llm-webui": "kube.local/chat-llm:dev"}


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """``installation`` keeps two Slipways of one cluster apart; it is a label's value."""

    namespace: str = "slipway"
    installation: str = "slipway"
    kubeconfig: str = ""  # a file; "": ``KUBECONFIG``, the user's own, or the pod's service account
    context: str = ""  # of that file; "": its current one
    pod_access: PodAccess = "pod"
    #: An image's name without registry and tag, to the image that stands for it.
    images: Mapping[str, str] = field(default_factory=lambda: dict(OWN_IMAGES))
    image_pull_secrets: tuple[str, ...] = ()
    #: Client-side limit of requests to the API server, and how many may come at once (gateway.md §4).
    requests_a_second: float = 50.0
    burst: int = 100
    #: How many containers' logs are followed as they are written; the others are read when they end.
    log_streams: int = 100

    @property
    def key(self) -> str:
        """What ``ClusterState`` and leases are found by."""
        return f"{self.installation}.{self.namespace}"
