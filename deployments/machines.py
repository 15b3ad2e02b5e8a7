"""What a model can be put on: a node of the cluster, or an instance type that can be rented."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from deployments.clusters.base import Capacity
from deployments.engines.recipe import is_one_of
from deployments.instance_types import INSTANCE_TYPES_PATH, load_gpu_products, merge, read_instance_types

GIB = 2**30

#: GPUs before NVIDIA's Ampere generation have no bfloat16.
WITHOUT_BFLOAT16 = ("P100", "P4", "V100", "T4")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. ``instance_type`` is "" for a node of the cluster, which others may use as well."""

    name: str
    cpu_cores: float
    memory_mib: int
    gpus: int = 0
    gpu_product: str = ""
    gpu_memory_gib: float = 0.0  # of one card
    instance_type: str = ""
    node_labels: tuple[tuple[str, str], ...] = ()  # of the nodes that are of that type
    reserves: bool = False  # see ``Capacity``

    @property
    def has_bfloat16(self) -> bool:
        return not is_one_of(self.gpu_product, WITHOUT_BFLOAT16)


def machine_of(node: Capacity) -> Machine:
    """A node of the cluster as a machine."""
    return Machine(
        node.node,
        node.cpu_cores,
        node.memory_mib,
        node.gpus,
        node.gpu_product,
        node.gpu_memory_gib,
        reserves=node.reserves,
    )


@functools.cache
def load_instance_types() -> tuple[Machine, ...]:
    """Every instance type, the administrator's too, from the one with the least GPU memory up."""
    types = read_instance_types(INSTANCE_TYPES_PATH.read_text(encoding="utf-8"))
    if settings.SLIPWAY_INSTANCE_TYPES:  # checked when the settings were read
        types = merge(types, read_instance_types(Path(settings.SLIPWAY_INSTANCE_TYPES).read_text(encoding="utf-8")))
    machines = (
        Machine(
            name=one.name,
            cpu_cores=one.cpu,
            memory_mib=int(one.memory_gib * 1024),
            gpus=one.gpus,
            gpu_product=one.gpu_product,
            gpu_memory_gib=one.gpu_memory_gb * 10**9 / GIB,
            instance_type=one.name,
            node_labels=one.node_labels,
        )
        for one in types
    )
    return tuple(sorted(machines, key=lambda machine: (machine.gpus * machine.gpu_memory_gib, machine.gpus)))


def find_instance_type(name: str) -> Machine | None:
    """The instance type of that name; None where nothing is known of it."""
    return next((machine for machine in load_instance_types() if machine.name == name), None)


def node_products(gpu_product: str) -> tuple[str, ...]:
    """The names under which nodes may be labelled with a GPU: those that are known, else its own with hyphens."""
    return _gpu_products().get(gpu_product, (gpu_product.replace(" ", "-"),))


@functools.cache
def _gpu_products() -> dict[str, tuple[str, ...]]:
    return load_gpu_products()
