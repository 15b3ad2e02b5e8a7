"""Which containers of a pod have a log to read, in the order of their lives. Pure.

The main container's programs, and before them those of the init containers: what failed may be the download. The
kubelet keeps of each container the log of the one that runs (or ran last) and of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.clusters.kubernetes.reading import Json, container_status, main_container, state_of


@dataclass(frozen=True, slots=True)
class Segment:
    """One container's log, told from others of its name by the container's id."""

    container: str
    container_id: str
    is_previous: bool  # the kubelet calls it the one before
    is_over: bool  # its program has ended: what there is now is all


def segments_of(pod: Json) -> tuple[Segment, ...]:
    """Oldest first. Empty before anything has run."""
    names = [str(one["name"]) for one in pod["spec"].get("initContainers") or ()]
    names.append(str(main_container(pod)["name"]))
    return tuple(segment for name in names for segment in segments_of_container(name, container_status(pod, name)))


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
