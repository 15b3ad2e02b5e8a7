"""Kubernetes' own events as lines of text, in its own words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.clusters.kubernetes.reading import Json


def event_lines(events: Iterable[Json], pod: str = "") -> list[str]:
    """The newest first; with ``pod`` those about it alone."""
    found = [event for event in events if not pod or subject_of(event).get("name") == pod]
    return [event_line(event) for event in sorted(found, key=time_of, reverse=True)]


def event_line(event: Json) -> str:
    about = subject_of(event)
    count = int(event.get("count") or (event.get("series") or {}).get("count") or 1)
    times = f" (x{count} since {event.get('firstTimestamp') or 'the first'})" if count > 1 else ""
    message = " ".join(str(event.get("message") or event.get("note") or "").split())
    kind, name = str(about.get("kind") or "?"), str(about.get("name") or "?")
    return f"{time_of(event)}  {event.get('type') or '':8}{event.get('reason') or '':24}{kind}/{name}  {message}{times}"


def subject_of(event: Json) -> Json:
    found: Json = event.get("involvedObject") or event.get("regarding") or {}
    return found


def time_of(event: Json) -> str:
    """When it was last seen; events of newer reporters have no ``lastTimestamp``."""
    series = event.get("series") or {}
    metadata = event.get("metadata") or {}
    found = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(found or metadata.get("creationTimestamp") or "")
