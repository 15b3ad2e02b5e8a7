"""Nodes, quotas and storage drivers as ``clusters.overview`` has them, and what pods claim of a node. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deployments.clusters.kubernetes.quantities import MIB, quantity
from deployments.clusters.kubernetes.reading import Json, condition, labels_of, name_of, status_of
from deployments.clusters.overview import Amounts, NodeFields, QuotaFields, StorageFields, TaintFields

GPU = "nvidia.com/gpu"
#: Where a node says what its GPUs are: NVIDIA's feature discovery, then Alibaba Cloud's.
GPU_PRODUCT_LABELS = ("nvidia.com/gpu.product", "aliyun.accelerator/nvidia_name")
GPU_MEMORY_LABELS = ("nvidia.com/gpu.memory", "aliyun.accelerator/nvidia_mem")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one pod keeps from others on its node."""

    node: str
    cpu: Decimal = Decimal(0)
    memory: Decimal = Decimal(0)  # bytes
    gpu: Decimal = Decimal(0)


def claim_of(pod: Json) -> Claim | None:
    """As the scheduler counts: the containers together, or the largest init container; None before it has a node.

    An init container that stays (``restartPolicy: Always``) counts with the containers.
    """
    node = str(pod["spec"].get("nodeName") or "")
    if not node or status_of(pod).get("phase") in ("Succeeded", "Failed"):
        return None
    spec = pod["spec"]
    of_pod = (spec.get("resources") or {}).get("requests") or {}
    overhead = spec.get("overhead") or {}

    def claimed(resource: str) -> Decimal:
        if resource in of_pod:
            return quantity(of_pod[resource]) + quantity(overhead.get(resource, 0))
        together = sum((requested(one, resource) for one in spec["containers"]), Decimal(0))
        staying, largest = Decimal(0), Decimal(0)
        for one in spec.get("initContainers") or ():
            amount = requested(one, resource)
            if one.get("restartPolicy") == "Always":
                staying += amount
                largest = max(largest, staying)
            else:
                largest = max(largest, staying + amount)
        return max(together + staying, largest) + quantity(overhead.get(resource, 0))

    return Claim(node, claimed("cpu"), claimed("memory"), claimed(GPU))


def requested(container: Json, resource: str) -> Decimal:
    return quantity(((container.get("resources") or {}).get("requests") or {}).get(resource, 0))


def node_fields(node: Json, claims: Iterable[Claim] | None) -> NodeFields:
    """``claims`` of the pods on it; None where they are not known."""
    allocatable = status_of(node).get("allocatable") or {}
    ready = condition(node, "Ready")
    is_ready = ready.get("status") == "True"
    labels = dict(labels_of(node))
    has = Claim("", *(quantity(allocatable.get(name, 0)) for name in ("cpu", "memory", GPU)))
    return NodeFields(
        name=name_of(node),
        is_ready=is_ready,
        is_cordoned=bool(node["spec"].get("unschedulable")),
        since=str(ready.get("lastTransitionTime") or ""),
        reason="" if is_ready else str(ready.get("message") or ready.get("reason") or ""),
        allocatable=amounts(has),
        free=None if claims is None else amounts(left(has, claims)),
        gpu_product=next((labels[name] for name in GPU_PRODUCT_LABELS if name in labels), ""),
        gpu_memory_mib=gpu_memory_mib(labels),
        labels=labels,
        taints=[
            TaintFields(key=taint["key"], value=str(taint.get("value") or ""), effect=taint["effect"])
            for taint in node["spec"].get("taints") or ()
        ],
        version=str((status_of(node).get("nodeInfo") or {}).get("kubeletVersion") or ""),
    )


def left(has: Claim, claims: Iterable[Claim]) -> Claim:
    cpu, memory, gpu = has.cpu, has.memory, has.gpu
    for claim in claims:
        cpu, memory, gpu = cpu - claim.cpu, memory - claim.memory, gpu - claim.gpu
    return Claim("", max(cpu, Decimal(0)), max(memory, Decimal(0)), max(gpu, Decimal(0)))


def amounts(claim: Claim) -> Amounts:
    """Memory rounded down: more than that is not there."""
    return Amounts(cpu=round(float(claim.cpu), 3), memory_mib=math.floor(claim.memory / MIB), gpu=int(claim.gpu))


def gpu_memory_mib(labels: Mapping[str, str]) -> int:
    """NVIDIA's label is a number of MiB, Alibaba Cloud's has the unit with it."""
    text = next((labels[name] for name in GPU_MEMORY_LABELS if name in labels), "")
    digits = text.removesuffix("MiB")
    return int(digits) if digits.isdecimal() else 0


def quota_fields(quota: Json) -> QuotaFields:
    """With what is used now; before the controller has counted, only what is allowed."""
    status = status_of(quota)
    hard = status.get("hard") or quota["spec"].get("hard") or {}
    return QuotaFields(name=name_of(quota), hard=dict(hard), used=dict(status.get("used") or {}))


def class_fields(storage_class: Json) -> StorageFields:
    annotations = storage_class["metadata"].get("annotations") or {}
    return StorageFields(
        kind="class",
        name=name_of(storage_class),
        driver=str(storage_class.get("provisioner") or ""),
        is_default=annotations.get(DEFAULT_CLASS) == "true",
    )


def driver_fields(driver: Json) -> StorageFields:
    return StorageFields(kind="csi", name=name_of(driver), driver=name_of(driver), is_default=False)


def trimmed_node(node: Json) -> dict[str, Any]:
    """What ``node_fields`` reads: a node's list of images alone is longer than all that."""
    status = status_of(node)
    return {
        "metadata": {"name": name_of(node), "labels": labels_of(node)},
        "spec": {key: node["spec"][key] for key in ("unschedulable", "taints") if key in node["spec"]},
        "status": {
            "allocatable": status.get("allocatable") or {},
            "conditions": [one for one in status.get("conditions") or () if one.get("type") == "Ready"],
            "nodeInfo": {"kubeletVersion": (status.get("nodeInfo") or {}).get("kubeletVersion")},
        },
    }


def place_of(node: Json) -> Any:
    """What of a ``trimmed_node`` decides which pods it takes; its heartbeats say nothing of that."""
    status = status_of(node)
    return labels_of(node), node["spec"], status["allocatable"], condition(node, "Ready").get("status")


def by_name(found: Iterable[Json], fields: Callable[[Json], Any]) -> Sequence[Any]:
    return sorted((fields(one) for one in found), key=lambda one: str(one["name"]))
