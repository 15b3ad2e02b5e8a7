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
    """What is known now. ``message`` may be a ``words.Sentence``: why it is failing or unknown, "" where it is ok."""

    id: str
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
