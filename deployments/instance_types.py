"""What is known of machines that can be rented, and of GPUs: data files, and what an administrator adds to them.

Nothing here imports Django: settings are checked before there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
INSTANCE_TYPES_PATH = FOLDER / "instance_types.yaml"
GPU_PRODUCTS_PATH = FOLDER / "gpu_products.yaml"


class InstanceTypesInvalid(ValueError):
    """A file of instance types states something that cannot be; the text says what, and of which type."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One kind of machine. ``memory_gib`` is the maker's figure; ``gpu_memory_gb`` counts 10^9 bytes a card.

    ``node_labels`` are labels of the nodes that are such machines, where the type's own name is none of them.
    """

    name: str
    cpu: float
    memory_gib: float
    gpus: int = 0
    gpu_product: str = ""
    gpu_memory_gb: float = 0.0
    node_labels: tuple[tuple[str, str], ...] = ()


def read_instance_types(text: str) -> tuple[InstanceType, ...]:
    """The types of a YAML list. Raises ``InstanceTypesInvalid`` for the first thing wrong."""
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise InstanceTypesInvalid(f"is not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(entries, list):
        raise InstanceTypesInvalid("is not a list of instance types.")
    return tuple(map(_read_entry, entries))


def _read_entry(entry: Any) -> InstanceType:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not name:
        raise InstanceTypesInvalid(f"has an entry without a name: {entry!r}.")
    values = dict(entry)
    labels = values.pop("node_labels", None) or {}
    if not isinstance(labels, Mapping):
        raise InstanceTypesInvalid(f"has node_labels of {name} that are no labels with values.")
    try:
        found = InstanceType(**values, node_labels=tuple((str(key), str(value)) for key, value in labels.items()))
    except TypeError as problem:
        raise InstanceTypesInvalid(f"is wrong about {name}: {str(problem).partition(' ')[2]}.") from None
    numbers = {
        "cpu": found.cpu,
        "memory_gib": found.memory_gib,
        "gpus": found.gpus,
        "gpu_memory_gb": found.gpu_memory_gb,
    }
    for key, value in numbers.items():
        least = 0 if key.startswith("gpu") and not found.gpus else 1e-9
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e6:
            raise InstanceTypesInvalid(f"is wrong about {name}: {key} cannot be {value!r}.")
    if (
        not isinstance(found.gpus, int)
        or not isinstance(found.gpu_product, str)
        or bool(found.gpus) != bool(found.gpu_product)
    ):
        raise InstanceTypesInvalid(f"is wrong about {name}: gpus and gpu_product come together.")
    return found


def merge(types: Iterable[InstanceType], more: Iterable[InstanceType]) -> tuple[InstanceType, ...]:
    """Both; of a name in both, the second."""
    return tuple({one.name: one for one in (*types, *more)}.values())


def load_gpu_products() -> dict[str, tuple[str, ...]]:
    """By the short name of a GPU, the names under which nodes are labelled with it."""
    products = yaml.safe_load(GPU_PRODUCTS_PATH.read_text(encoding="utf-8"))
    return {str(name): tuple(labels) for name, labels in products.items()}
