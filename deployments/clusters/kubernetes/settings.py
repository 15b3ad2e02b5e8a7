"""How this Slipway uses its Kubernetes cluster: the settings of ``console.environment``, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: How HTTP reaches a pod. ``pod``: at its own address, which only other pods and nodes can route to. ``proxy``: through
#: the API server. ``node``: at its node's address and a node port.
PodAccess = Literal["pod", "proxy", "node"]

#: Images that recipes name and no registry has under that name.
OWN_IMAGES: Mapping[str, str] = {
    "chat-llm-webui": "kube.local/chat-llm:dev",
    "vllm": "vllm/vllm-openai:v0.14.0",
}

#: How a folder of an object store gets into a pod. ``csi``: mounted by OSS's driver. ``copy``: copied before the start.
#: ``auto``: by the driver where the cluster has it.
OssMount = Literal["auto", "csi", "copy"]


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint of nodes that instances may be on. ``value`` None: whatever it is; ``effect`` "": any."""

    key: str
    value: str | None = None
    effect: str = ""


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
    #: Slipway's own image, which copies and clones what an instance mounts.
    tools_image: str = "kube.local/slipway:dev"
    #: No container runs as root, also of images of which nothing is known.
    non_root: bool = False
    oss_mount: OssMount = "auto"
    oss_endpoint: str = ""  # of documents that name none
    oss_secret: str = ""  # a Secret of the namespace, with akId and akSecret
    oss_claim: str = ""  # a PersistentVolumeClaim of the namespace that keeps copies; "": each instance has its own
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    #: The node label whose value is the instance type; "": types say how much, and not where.
    instance_type_label: str = ""
    gpu_product_label: str = "nvidia.com/gpu.product"
    #: The namespace of Slipway's own pods, which alone reach instances where ``pod_access`` is ``pod``.
    gateway_namespace: str = "slipway"
    #: Client-side limit of requests to the API server: a service takes about six. Twice as many may come at once.
    requests_a_second: float = 100.0
    #: How many containers' logs are followed as they are written; the others are read when they end.
    log_streams: int = 100

    @property
    def burst(self) -> int:
        """How many requests may come at once."""
        return round(2 * self.requests_a_second)

    @property
    def key(self) -> str:
        """What ``ClusterState`` and leases are found by."""
        return f"{self.installation}.{self.namespace}"
