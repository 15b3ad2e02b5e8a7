"""Kubernetes' quantities (``500m``, ``2Gi``, ``1e3``) as numbers. Pure."""

from __future__ import annotations

import math
import re
from decimal import Decimal

SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{name: Decimal(1000) ** power for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]i?|Ki)?")
MIB = 1024 * 1024


def quantity(text: str | int | float) -> Decimal:
    """The number that a quantity stands for. Raises ValueError where it is none."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None or (match[2] or "") not in SUFFIXES:
        raise ValueError(f"{text!r} is no quantity of Kubernetes: write a number with a suffix, such as 500m or 2Gi.")
    return Decimal(match[1]) * SUFFIXES[match[2] or ""]


def cores(text: str | int | float) -> float:
    """CPUs."""
    return float(quantity(text))


def mib(text: str | int | float) -> int:
    """Memory or storage in MiB, rounded up: less than that is too little."""
    return math.ceil(quantity(text) / MIB)
