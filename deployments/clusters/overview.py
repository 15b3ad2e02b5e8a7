"""A cluster as a whole, as the page Clusters and REST show it: its health, its nodes, and how it is reached.

The typed dictionaries are JSON: the watcher of a Kubernetes cluster keeps them in ``ClusterState`` as they stand here,
and the local cluster makes the same of its one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

Health = Literal["unknown", "ok", "failing"]
Kind = Literal["local", "kubernetes"]


class Amounts(TypedDict):
    """Of what services take. Memory in MiB; ``gpu`` counts whole ones."""

    cpu: float
    memory_mib: int
    gpu: int


class TaintFields(TypedDict):
    """What keeps pods without a toleration off a node (``NoSchedule``, ``NoExecute``, ``PreferNoSchedule``)."""

    key: str
    value: str
    effect: str


class NodeFields(TypedDict):
    """One node. ``free`` is what no pod has claimed; None where the pods of others may not be listed."""

    name: str
    is_ready: bool
    is_cordoned: bool  # takes no new pods
    since: str  # when it became ready, or ceased to be: ISO 8601 with zone, "" where nobody knows
    reason: str  # the platform's own words on why it is not ready, "" where it is
    allocatable: Amounts
    free: Amounts | None
    gpu_product: str
    gpu_memory_mib: int  # of one GPU, 0 where no label tells
    labels: dict[str, str]
    taints: list[TaintFields]
    version: str  # of what runs instances there


class QuotaFields(TypedDict):
    """One ResourceQuota: resource names (``requests.cpu``, ``pods``) to quantities as Kubernetes writes them."""

    name: str
    hard: dict[str, str]
    used: dict[str, str]


class StorageFields(TypedDict):
    """``csi``: a driver that mounts volumes. ``class``: what makes volumes on demand, by ``driver``."""

    kind: Literal["csi", "class"]
    name: str
    driver: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """How this Slipway reaches its cluster. Texts are empty where there is nothing of the kind."""

    way: Literal["local", "kubeconfig", "in-cluster"]
    server: str = ""
    context: str = ""
    file: str = ""
    namespace: str = ""
    installation: str = ""
    pod_access: str = ""


@dataclass(frozen=True, slots=True)
class ClusterOverview:
    """What is known now. ``message`` may be a ``words.Sentence``: why it is failing or unknown, "" where it is ok and
    Kubernetes no older than Slipway needs.
    """

    kind: Kind
    version: str
    health: Health
    code: str
    message: str
    since: datetime | None  # of the health
    answered_at: datetime | None  # when it last answered well; what is shown is as old as this
    nodes: Sequence[NodeFields]
    quotas: Sequence[QuotaFields]
    storage: Sequence[StorageFields]
    connection: Connection


@dataclass(frozen=True, slots=True)
class GpuSum:
    """The GPUs of one product on the nodes that are ready; ``free`` None where not known."""

    product: str
    total: int
    free: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the nodes that are ready and take pods. ``free`` None where that of any of them is not known."""

    nodes: int
    ready: int
    allocatable: Amounts
    free: Amounts | None
    gpus: tuple[GpuSum, ...]


def totals_of(nodes: Sequence[NodeFields]) -> Totals:
    """What all nodes together offer. Pure."""
    usable = [node for node in nodes if node["is_ready"] and not node["is_cordoned"]]
    free = [node["free"] for node in usable if node["free"] is not None]
    is_known = len(free) == len(usable)
    products = sorted({node["gpu_product"] for node in usable if node["allocatable"]["gpu"]})
    return Totals(
        nodes=len(nodes),
        ready=sum(node["is_ready"] for node in nodes),
        allocatable=sum_of([node["allocatable"] for node in usable]),
        free=sum_of(free) if is_known else None,
        gpus=tuple(gpu_sum(product, usable) for product in products),
    )


def gpu_sum(product: str, nodes: Sequence[NodeFields]) -> GpuSum:
    mine = [node for node in nodes if node["gpu_product"] == product]
    free = [node["free"]["gpu"] for node in mine if node["free"] is not None]
    total = sum(node["allocatable"]["gpu"] for node in mine)
    return GpuSum(product, total, sum(free) if len(free) == len(mine) else None)


def sum_of(parts: Sequence[Amounts]) -> Amounts:
    return Amounts(
        cpu=round(sum(one["cpu"] for one in parts), 3),
        memory_mib=sum(one["memory_mib"] for one in parts),
        gpu=sum(one["gpu"] for one in parts),
    )
