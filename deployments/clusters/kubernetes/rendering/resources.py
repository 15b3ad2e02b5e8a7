"""What an instance asks of its node: processors, memory, GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.spec import ServiceSpec

GPU = "nvidia.com/gpu"
#: EAS gives an instance this much shared memory unless told otherwise (eas.md §3.2); it counts as the instance's own,
#: and is never more than its limit.
SHARED_MEMORY_GIB = 64


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one instance. None: nothing said, no limit."""

    cpu_cores: float | None
    memory_mib: int | None
    gpus: int = 0
    shares_cpu: bool = False  # the processors are a ceiling and not reserved
    extra: tuple[tuple[str, int], ...] = ()  # of other resources: a part of a GPU


def resources_of(spec: ServiceSpec, facts: ClusterFacts) -> Resources:
    return Resources(spec.cpu_cores, spec.memory_mib, spec.gpu)


def main_resources(wanted: Resources) -> Manifest:
    """Requests and limits are the same, so that an instance is the last to be evicted (Guaranteed)."""
    limits = ceilings(wanted)
    if wanted.gpus:
        limits[GPU] = str(wanted.gpus)
    limits |= {name: str(amount) for name, amount in wanted.extra}
    requests = dict(limits)
    if wanted.shares_cpu and "cpu" in requests:
        requests["cpu"] = "0"
    return {"requests": requests, "limits": limits} if limits else {}


def init_resources(wanted: Resources) -> Manifest:
    """What prepares the instance may use what the instance will, which reserves nothing more."""
    limits = ceilings(wanted)
    requests = limits | ({"cpu": "0"} if wanted.shares_cpu and "cpu" in limits else {})
    return {"requests": requests, "limits": limits} if limits else {}


def side_resources(wanted: Resources) -> Manifest:
    """A container beside the first reserves nothing, and has the same ceilings."""
    limits = ceilings(wanted)
    return {"requests": dict.fromkeys(limits, "0"), "limits": limits} if limits else {}


def ceilings(wanted: Resources) -> dict[str, str]:
    limits = {}
    if wanted.cpu_cores is not None:
        limits["cpu"] = cpu_quantity(wanted.cpu_cores)
    if wanted.memory_mib is not None:
        limits["memory"] = f"{wanted.memory_mib}Mi"
    return limits


def cpu_quantity(cores: float) -> str:
    """Whole cores as a number, parts in thousandths."""
    thousandths = max(1, round(cores * 1000))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def size_quantity(gib: float) -> str:
    """GiB as a quantity of whole MiB."""
    mib = max(1, round(gib * 1024))
    return f"{mib}Mi" if mib % 1024 else f"{mib // 1024}Gi"


def shared_memory(spec: ServiceSpec) -> dict[str, Any]:
    """The volume behind /dev/shm, which is 64 MiB otherwise: too little for engines on several GPUs."""
    return {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size_quantity(SHARED_MEMORY_GIB)}}
