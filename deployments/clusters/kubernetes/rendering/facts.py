"""What of the cluster and of the moment matters to rendering, so that rendering itself asks nobody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

#: One Kubernetes object, as JSON.
Manifest: TypeAlias = dict[str, Any]

#: Storage drivers of Alibaba Cloud's object store (eas.md §7).
OSS_DRIVER = "ossplugin.csi.alibabacloud.com"


@dataclass(frozen=True, slots=True)
class SharedGpu:
    """How a cluster offers parts of GPUs. ``memory_mib`` is how much one unit of ``memory`` stands for."""

    memory: str
    memory_mib: int
    cores: str  # in hundredths of one GPU
    count: str = ""  # a resource that says over how many GPUs, "" where there is none


#: By the resource that nodes offer: Alibaba Cloud's cGPU, and HAMi.
SHARED_GPUS = (
    SharedGpu("aliyun.com/gpu-mem", 1024, "aliyun.com/gpu-core.percentage"),
    SharedGpu("nvidia.com/gpumem", 1, "nvidia.com/gpucores", "nvidia.com/gpu"),
)


def find_shared_gpu(resources: Iterable[str]) -> SharedGpu | None:
    """The way in which nodes with these resources share GPUs."""
    offered = set(resources)
    return next((one for one in SHARED_GPUS if one.memory in offered), None)


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Facts that change seldom: one that flips changes manifests, and a changed pod template restarts pods.

    ``replace``: no node has room for an update's additional instance, so one of the old is to go first.
    """

    has_oss_driver: bool = False
    shared_gpu: SharedGpu | None = None
    #: Values of the GPU product label over all nodes; empty where nodes carry no such label.
    gpu_products: frozenset[str] = frozenset()
    replace: bool = False
    #: How many instances the service's autoscaler has made; None where there is none, or not yet.
    scaled_to: int | None = None
    #: The service's own token, kept in its Secret; "" where it is not known.
    token: str = field(default="", repr=False)
