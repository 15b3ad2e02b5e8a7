"""Places in Kubernetes' JSON that several modules read: containers and their states, times, whose event it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]


def moment(text: str | None) -> datetime | None:
    """An instant as the API server writes it, or None where there is none."""
    return datetime.fromisoformat(text) if text else None


def name_of(thing: Json) -> str:
    return str(thing["metadata"]["name"])


def labels_of(thing: Json) -> Json:
    return thing["metadata"].get("labels") or {}


def status_of(thing: Json) -> Json:
    return thing.get("status") or {}


def is_ending(thing: Json) -> bool:
    return bool(thing["metadata"].get("deletionTimestamp"))


def main_container(pod: Json) -> Json:
    """The container that answers requests: the document's first one (rendering keeps the order)."""
    found: Json = pod["spec"]["containers"][0]
    return found


def container_status(pod: Json, name: str) -> Json:
    """What the kubelet says of a container, also of an init container; empty before it has said anything."""
    status = status_of(pod)
    for kind in ("containerStatuses", "initContainerStatuses"):
        for one in status.get(kind) or ():
            if one["name"] == name:
                found: Json = one
                return found
    return {}


def main_status(pod: Json) -> Json:
    return container_status(pod, str(main_container(pod)["name"]))


def state_of(container: Json, which: str = "state") -> tuple[str, Json]:
    """``running``, ``waiting`` or ``terminated`` with what is said of it; "" where nothing is."""
    for kind, details in (container.get(which) or {}).items():
        if details is not None:
            return kind, details
    return "", {}


def condition(thing: Json, kind: str) -> Json:
    """A condition by its type; empty where there is none."""
    for one in status_of(thing).get("conditions") or ():
        if one.get("type") == kind:
            found: Json = one
            return found
    return {}


def events_of(thing: Json, events: Sequence[Json]) -> Iterator[Json]:
    """Events about this very object, oldest first: one of the same name may have been there before."""
    meta = thing["metadata"]
    for event in events:
        about = event.get("involvedObject") or {}
        if about.get("name") == meta["name"] and about.get("uid", meta.get("uid")) == meta.get("uid"):
            yield event


def happened_at(event: Json) -> datetime | None:
    """When it last did."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return moment(next((text for text in times if text), None) or event["metadata"].get("creationTimestamp"))


def field_path(event: Json) -> str:
    """Which container it is about: ``spec.containers{main}``."""
    return str((event.get("involvedObject") or {}).get("fieldPath") or "")
