"""Which containers of a pod have a log to read, in the order of their lives. Pure.

An instance's log is that of the main container's programs, and before them of the init containers: what failed may be
the download. Each container beside the main one has a log of its own. The kubelet keeps of each container the log of
the one that runs (or ran last) and of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.clusters.base import log_name
from deployments.clusters.kubernetes.reading import Json, container_status, main_container, name_of, state_of


@dataclass(frozen=True, slots=True)
class Segment:
    """One container's log, told from others of its name by the container's id."""

    container: str
    container_id: str
    is_previous: bool  # the kubelet calls it the one before
    is_over: bool  # its program has ended: what there is now is all


def logs_of(pod: Json) -> dict[str, tuple[Segment, ...]]:
    """The pod's logs by name (``base.log_name``), each with its containers' programs, oldest first; without any before
    something has run. An init container that stays beside the main one is one beside it.
    """
    first = pod["spec"].get("initContainers") or ()
    before = [str(one["name"]) for one in first if one.get("restartPolicy") != "Always"]
    beside = [str(one["name"]) for one in first if one.get("restartPolicy") == "Always"]
    beside += [str(one["name"]) for one in pod["spec"]["containers"][1:]]
    logs = {log_name(name_of(pod)): [*before, str(main_container(pod)["name"])]}
    logs |= {log_name(name_of(pod), name): [name] for name in beside}
    return {
        log: tuple(one for name in names for one in segments_of_container(name, container_status(pod, name)))
        for log, names in logs.items()
    }


def segments_of_container(name: str, status: Json) -> Iterator[Segment]:
    """The program before and the one now. While it waits to be started again there is only the one before, and the
    kubelet then calls it the current one.
    """
    state, details = state_of(status)
    now = str((status if state == "running" else details).get("containerID") or "") if state != "waiting" else ""
    _, last = state_of(status, "lastState")
    before = str(last.get("containerID") or "")
    if before and before != now:
        yield Segment(name, before, is_previous=bool(now), is_over=True)
    if now:
        yield Segment(name, now, is_previous=False, is_over=state == "terminated")
