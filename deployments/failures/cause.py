"""A cause: its code, its sentences, and what of the document to change. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.words import Sentence, figure

#: Paths of the document that a cure changes.
COMMAND, MEMORY, MODEL, MOUNTS = "containers[0].script", "metadata.memory", "model", "storage"
CHECK, LIVENESS, IMAGE = "containers[0].startup_check", "containers[0].liveness_check", "containers[0].image"
CPU, GPU, DISK, STRATEGY = "metadata.cpu", "metadata.gpu", "metadata.disk", "metadata.rolling_strategy"
#: No path: the cure is on the cluster's side.
CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Fix:
    """What to change: the document's path (or ``CLUSTER``), and the value to put there where one is known."""

    field: str
    value: int | str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something does not run. ``code`` is of ``failures.CAUSES``."""

    code: str
    what: Sentence
    cure: Sentence
    fix: Fix | None = None


def gib(mib: int) -> str:
    """MiB as GiB with as many decimals as it takes to tell sizes apart."""
    value = mib / 1024
    if value == int(value):
        return figure(value)
    return figure(value, 1 if value >= 2 else 2)
