"""How a service's instances are exchanged, from what is seen of them. Pure.

An update surges: new instances start beside the old ones. Where no node has room for one more, that would wait for
ever; then old ones go first, as far as the service's ``rolling_strategy`` lets instances be missing (eas.md §3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.kinds import Manifest
from deployments.clusters.kubernetes.names import RESTART, REVISION
from deployments.clusters.kubernetes.reading import condition, is_ending, labels_of


def is_current(pod: Manifest, workload: Workload) -> bool:
    """Whether a pod is of the wanted revision and restart."""
    return is_made_for(workload, labels_of(pod))


def is_made_for(workload: Workload, labels: Mapping[str, str]) -> bool:
    """By the labels that rendering gives a pod template."""
    return (labels.get(REVISION), labels.get(RESTART)) == (str(workload.revision), workload.restart_token or "0")


def lacks_room(pod: Manifest) -> bool:
    """Whether no node has the CPU, memory or GPUs left that a pod wants."""
    scheduled = condition(pod, "PodScheduled")
    message = str(scheduled.get("message") or "")
    is_waiting = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return is_waiting and ("Insufficient" in message or "Too many pods" in message)


def must_replace(workload: Workload, pods: Iterable[Manifest], deployment: Manifest | None) -> bool:
    """Whether old instances have to go before new ones find room, and may.

    Once begun it goes on until the update is through: each instance that went makes room for one, not for all.
    """
    if workload.instances == 0 or workload.spec.unavailable == 0:
        return False
    living = [pod for pod in pods if not is_ending(pod)]
    current = [pod for pod in living if is_current(pod, workload)]
    if len(current) == len(living):
        return False
    return any(lacks_room(pod) for pod in current) or is_replacing(workload, deployment)


def is_replacing(workload: Workload, deployment: Manifest | None) -> bool:
    """Whether the Deployment exchanges the instances for these very ones by replacing."""
    if deployment is None:
        return False
    spec = deployment["spec"]
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    is_of_these = is_made_for(workload, labels_of(spec["template"]))
    return is_of_these and rolling.get("maxUnavailable") not in (None, 0, "0%")


def is_through(workload: Workload, pods: Iterable[Manifest]) -> bool:
    """Whether no instance of another revision or restart is left that still needs what it was made with."""
    return all(is_current(pod, workload) for pod in pods)
