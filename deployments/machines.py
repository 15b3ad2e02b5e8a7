"""What a model can be put on: a node of the cluster, or an instance type that can be rented."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

from deployments.clusters.base import Capacity
from deployments.engines.recipe import is_one_of

INSTANCE_TYPES_PATH = Path(__file__).with_name("instance_types.yaml")
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

    @property
    def has_bfloat16(self) -> bool:
        return not is_one_of(self.gpu_product, WITHOUT_BFLOAT16)


def machine_of(node: Capacity) -> Machine:
    """A node of the cluster as a machine."""
    return Machine(node.node, node.cpu_cores, node.memory_mib, node.gpus, node.gpu_product, node.gpu_memory_gib)


@functools.cache
def load_instance_types() -> tuple[Machine, ...]:
    """Every instance type, from the one with the least GPU memory up."""
    entries = yaml.safe_load(INSTANCE_TYPES_PATH.read_text(encoding="utf-8"))
    machines = (
        Machine(
            name=entry["name"],
            cpu_cores=entry["cpu"],
            memory_mib=entry["memory_gib"] * 1024,
            gpus=entry["gpus"],
            gpu_product=entry["gpu_product"],
            gpu_memory_gib=entry["gpu_memory_gb"] * 10**9 / GIB,
            instance_type=entry["name"],
        )
        for entry in entries
    )
    return tuple(sorted(machines, key=lambda machine: (machine.gpus * machine.gpu_memory_gib, machine.gpus)))


def find_instance_type(name: str) -> Machine | None:
    """The instance type of that name; None where nothing is known of it."""
    return next((machine for machine in load_instance_types() if machine.name == name), None)
