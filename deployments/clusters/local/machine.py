"""The local cluster as a whole: one node. Nothing is reserved on it, so what is free is what nobody uses just now."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

from deployments.clusters.base import Capacity
from deployments.clusters.local.capacity import free_cores, free_gpus, free_memory_mib
from deployments.clusters.overview import Amounts, ClusterOverview, Connection, NodeFields


def machine_overview(capacity: Capacity) -> ClusterOverview:
    """Looked at anew each time but for what a machine has."""
    free = Amounts(
        cpu=min(free_cores(), capacity.cpu_cores),
        memory_mib=min(free_memory_mib(), capacity.memory_mib),
        gpu=min(free_gpus(), capacity.gpus) if capacity.gpus else 0,
    )
    node = NodeFields(
        name=capacity.node,
        is_ready=True,
        is_cordoned=False,
        since="",
        reason="",
        allocatable=Amounts(cpu=capacity.cpu_cores, memory_mib=capacity.memory_mib, gpu=capacity.gpus),
        free=free,
        gpu_product=capacity.gpu_product,
        gpu_memory_mib=round(capacity.gpu_memory_gib * 1024),
        labels={},
        taints=[],
        version=f"{platform.system()} {platform.release()}",
    )
    return ClusterOverview(
        kind="local",
        version="",
        health="ok",
        code="",
        message="",
        since=None,
        answered_at=datetime.now(UTC),
        nodes=[node],
        quotas=[],
        storage=[],
        connection=Connection("local"),
    )
