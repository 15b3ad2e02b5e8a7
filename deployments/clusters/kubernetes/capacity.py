"""What a node offers to services, from what is known of it. Pure."""

from __future__ import annotations

from deployments.clusters.base import Capacity
from deployments.clusters.overview import NodeFields

#: Every engine runs here: each comes with its image.
ENGINES = ("chat-llm", "vllm", "bladellm", "transformers")


def capacity_of(node: NodeFields) -> Capacity:
    """``downloads``: a pod's program fetches open-source weights by itself, as its image would anywhere."""
    has = node["allocatable"]
    return Capacity(
        node=node["name"],
        cpu_cores=has["cpu"],
        memory_mib=has["memory_mib"],
        gpus=has["gpu"],
        gpu_product=node["gpu_product"],
        gpu_memory_gib=round(node["gpu_memory_mib"] / 1024, 1),
        images=ENGINES,
        downloads=True,
        reserves=True,
    )
