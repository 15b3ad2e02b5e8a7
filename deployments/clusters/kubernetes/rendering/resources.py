"""What an instance asks of its node: processors, memory, GPUs. And which machine it was meant for."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.machines import Machine, find_instance_type
from deployments.spec import ServiceSpec

GPU = "nvidia.com/gpu"
#: EAS gives an instance this much shared memory unless told otherwise (eas.md §3.2). It counts as the instance's own,
#: and is never more than its limit.
SHARED_MEMORY_GIB = 64.0


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one instance. None: nothing said, no limit."""

    cpu_cores: float | None
    memory_mib: int | None
    gpus: int = 0
    shares_cpu: bool = False  # the processors are a ceiling and not reserved
    extra: tuple[tuple[str, int], ...] = ()  # of other resources: a part of a GPU
    disk: str = ""  # what it may write on its node, as a quantity

    @property
    def has_gpu(self) -> bool:
        return bool(self.gpus or self.extra)


def machines_of(spec: ServiceSpec) -> tuple[Machine, ...]:
    """The known ones of the document's instance types, in its order."""
    found = (find_instance_type(name) for name in spec.parsed.cloud.instance_types)
    return tuple(machine for machine in found if machine is not None)


def resources_of(spec: ServiceSpec, facts: ClusterFacts) -> Resources:
    """What the document asks for; what it leaves out, and more than there is, is the instance type's.

    A whole machine is never asked for: what its node's own programs take would leave an instance waiting for ever.
    """
    metadata = spec.parsed.metadata
    cpu, memory_mib, gpus = spec.cpu_cores, spec.memory_mib, spec.gpu
    machines = machines_of(spec)
    if machines:
        room_cpu = min(usable_cpu(machine) for machine in machines)
        room_mib = min(usable_memory_mib(machine) for machine in machines)
        cpu = room_cpu if cpu is None else min(cpu, room_cpu)
        memory_mib = room_mib if memory_mib is None else min(memory_mib, room_mib)
        if "gpu" not in metadata.model_fields_set and not asks_for_part(spec):
            gpus = machines[0].gpus
    extra = part_of_gpu(spec, facts)
    return Resources(cpu, memory_mib, 0 if extra else gpus, metadata.qos == "BestEffort", extra, metadata.disk)


def usable_cpu(machine: Machine) -> float:
    """What nodes leave of a machine's processors for instances: a twentieth and no less than half a core is theirs."""
    return round(machine.cpu_cores - max(0.5, machine.cpu_cores / 20), 3)


def usable_memory_mib(machine: Machine) -> int:
    """The same of its memory: 2 GiB and a fifteenth, about what managed clusters keep of nodes of 16 to 1024 GiB."""
    return int(max(machine.memory_mib * 14 / 15 - 2048, machine.memory_mib / 2))


def asks_for_part(spec: ServiceSpec) -> bool:
    metadata = spec.parsed.metadata
    return metadata.gpu_memory is not None or metadata.gpu_core_percentage is not None


def part_of_gpu(spec: ServiceSpec, facts: ClusterFacts) -> tuple[tuple[str, int], ...]:
    """A part of one GPU in the cluster's own words."""
    shared, metadata = facts.shared_gpu, spec.parsed.metadata
    if shared is None or not asks_for_part(spec):
        return ()
    asked = [(shared.count, 1)] if shared.count else []
    if metadata.gpu_memory is not None:
        asked.append((shared.memory, max(1, round(metadata.gpu_memory * 1024 / shared.memory_mib))))
    if metadata.gpu_core_percentage is not None:
        asked.append((shared.cores, metadata.gpu_core_percentage))
    return tuple(asked)


def main_resources(wanted: Resources) -> Manifest:
    """Requests and limits are the same, so that an instance is the last to be evicted (Guaranteed)."""
    limits = ceilings(wanted)
    if wanted.gpus:
        limits[GPU] = str(wanted.gpus)
    limits |= {name: str(amount) for name, amount in wanted.extra}
    return with_requests(wanted, limits)


def init_resources(wanted: Resources) -> Manifest:
    """What prepares the instance may use what the instance will, which reserves nothing more."""
    return with_requests(wanted, ceilings(wanted))


def with_requests(wanted: Resources, limits: dict[str, str]) -> Manifest:
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
    if wanted.disk:
        limits["ephemeral-storage"] = wanted.disk
    return limits


def cpu_quantity(cores: float) -> str:
    """Whole cores as a number, parts in thousandths."""
    thousandths = max(1, round(cores * 1000))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def size_quantity(gib: float) -> str:
    """GiB as a quantity of whole MiB."""
    mib = max(1, round(gib * 1024))
    return f"{mib}Mi" if mib % 1024 else f"{mib // 1024}Gi"


def shared_memory(spec: ServiceSpec) -> Manifest:
    """The volume behind /dev/shm, which is 64 MiB otherwise: too little for engines on several GPUs."""
    size = spec.parsed.metadata.shm_size or SHARED_MEMORY_GIB
    return {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size_quantity(size)}}
