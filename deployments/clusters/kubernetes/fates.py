"""Pods that ended for good: evicted, refused by their node, shut down with it. Pure.

Their ReplicaSet makes others in their place, so these troubles end by themselves, unless they come again and again.
"""

from __future__ import annotations

import re
from datetime import datetime

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.pulling import last_words
from deployments.clusters.kubernetes.quantities import mib
from deployments.clusters.kubernetes.reading import Json, condition, moment, status_of

_AMOUNT = r"(\d+(?:\.\d+)?[numkMGTPE]?i?)"


def fate_of(pod: Json, *, again: bool) -> Trouble:
    """Why a pod with the phase Failed is one. ``again``: others before it ended the same way."""
    status = status_of(pod)
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    node = str(pod["spec"].get("nodeName") or "")
    since = ended_at(pod)
    cause, values = fate(reason, message, node)
    if cause == "DeviceRefused":
        return Trouble(cause, values, since)  # every next pod is refused as this one was
    return Trouble(cause, values, since, is_waiting=not again)


def fate(reason: str, message: str, node: str) -> tuple[str, dict[str, str | int]]:
    if reason == "Evicted":
        return eviction(message, node)
    if reason in ("UnexpectedAdmissionError", "OutOfnvidia.com/gpu"):
        said = re.search(r"(?:Allocate failed due to|admission failure:) ?(.+?)(?:, which is unexpected)?$", message)
        return "DeviceRefused", {"node": node, "reason": last_words(said[1] if said else message)}
    if reason in ("NodeShutdown", "Terminated", "Shutdown"):
        return "NodeShutDown", {"node": node}
    if reason.startswith("OutOf") or reason in ("NodeAffinity", "NodeName", "NodePorts", "NodeResources"):
        return "NodeRefused", {"node": node, "reason": last_words(message) or reason}
    return "Evicted", {"node": node, "reason": last_words(message) or reason or "it ended"}


def eviction(message: str, node: str) -> tuple[str, dict[str, str | int]]:
    """The kubelet's sentence of an eviction: what was short, who used how much."""
    if "low on resource: memory" in message:
        used = re.search(rf"was using {_AMOUNT}", message)
        return "EvictedForMemory", {"node": node, **({"used_mib": mib(used[1])} if used else {})}
    limit = re.search(rf"(?:exceeds|limit)[^.]*? \"?{_AMOUNT}\"?", message)
    if "exceed" in message and limit:
        return "EvictedForDisk", {"node": node, "limit_mib": mib(limit[1])}
    if "ephemeral-storage" in message or "inodes" in message or "DiskPressure" in message:
        return "EvictedForDisk", {"node": node}
    return "Evicted", {"node": node, "reason": last_words(message) or "it was asked to leave"}


def ended_at(pod: Json) -> datetime | None:
    """When it was over: Kubernetes tells it with the condition, else its beginning is all there is."""
    told = condition(pod, "DisruptionTarget").get("lastTransitionTime") or status_of(pod).get("startTime")
    return moment(told or pod["metadata"].get("creationTimestamp"))
