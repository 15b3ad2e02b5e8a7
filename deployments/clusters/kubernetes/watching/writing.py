"""Writes what changed into ``ClusterView`` rows, takes ending pods out of routing, and has the services looked at.

One transaction writes some services: the fence (is this still the watcher?), the rows, the instances that leave, and
when the services are due. What is published afterwards only makes it quick.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from deployments.clusters.base import InstancePhase
from deployments.clusters.kubernetes.kinds import CLAIM, DEPLOYMENT, ENDPOINT_SLICE, VOLUME, Manifest
from deployments.clusters.kubernetes.reading import condition, happened_at, status_of
from deployments.clusters.kubernetes.store import version_of
from deployments.clusters.kubernetes.watching.knowledge import Change
from deployments.hints import send_hint
from deployments.models import ClusterView, Instance, Service
from deployments.tasks import ask_on_commit

MOST_EVENTS = 100
#: Events that tell nothing beyond what pods and Deployments say at the same moment.
ROUTINE = frozenset({
    "Scheduled", "Created", "Started", "Killing", "ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete",
    "SuccessfulRescale",
})  # fmt: skip
#: An autoscaler's status changes four times a minute, and what it decides shows in the Deployment.
STATUS_COUNTS = frozenset({CLAIM.name, VOLUME.name})
#: What the Deployment's controller writes on it by itself.
CONTROLLERS_COUNT = "deployment.kubernetes.io/revision"
#: What a worker noted of its own write counts for so long, if the watch has not come that far.
OWN_WRITE = timedelta(seconds=30)


def write_changes(changes: Sequence[Change], versions: Mapping[str, str], now: datetime) -> None:
    """Inside a transaction that is fenced: see ``watcher``. Hints and tasks go out once it is committed."""
    by_uid = {change.service_uid: change for change in changes}
    make_rows(by_uid, now)
    rows = {row.service_uid: row for row in ClusterView.objects.select_for_update().filter(service_uid__in=by_uid)}
    changed = [uid for uid, change in by_uid.items() if write_view(rows.get(uid), change, versions, now)]
    left = take_out_of_routing(changes)
    names = sorted({name for _, name in left})
    # Before the tasks: what leaves routing does so at once.
    transaction.on_commit(lambda: send_hints(names), robust=True)
    look_again({*changed, *(service_uid for service_uid, _ in left)}, now)


def make_rows(changes: Mapping[str, Change], now: datetime) -> None:
    """Rows for services that have none yet. A worker may make the same one at the same moment: the first stays."""
    there = set(ClusterView.objects.filter(service_uid__in=changes).values_list("service_uid", flat=True))
    new = [uid for uid, one in changes.items() if uid not in there and (one.manifests or one.pods or one.events)]
    rows = [ClusterView(service_uid=uid, changed_at=now) for uid in sorted(new)]
    ClusterView.objects.bulk_create(rows, ignore_conflicts=True)


def look_again(service_uids: Collection[str], now: datetime) -> None:
    """These services are due from now on, and a worker is asked to look once that is committed, where none was yet."""
    ids = list(Service.objects.filter(uid__in=service_uids).values_list("pk", flat=True))
    if ids:
        Service.objects.filter(pk__in=ids).update(next_check_at=now)
        ask_on_commit(ids)


def waiting_services() -> list[str]:
    """Uids of the services that have an instance without a node."""
    rows = Instance.objects.filter(phase=InstancePhase.PENDING, node="")
    return list(rows.values_list("service__uid", flat=True).distinct())


def send_hints(names: Iterable[str]) -> None:
    for name in names:
        send_hint(f"service:{name}")


def write_view(row: ClusterView | None, change: Change, versions: Mapping[str, str], now: datetime) -> bool:
    """One service's row. False where nothing is new, or nothing that a worker would do anything about."""
    if row is None:  # nothing is known of it
        return False
    is_recent = now - row.changed_at < OWN_WRITE
    kept_manifests, kept_pods = (row.manifests, row.pods) if is_recent else ({}, {})
    columns: dict[str, Any] = {
        "manifests": merge(change.manifests, kept_manifests, versions),
        "pods": merge(change.pods, kept_pods, versions),
        "events": merge_events(row.events, change.events),
    }
    changed = {name: value for name, value in columns.items() if getattr(row, name) != value}
    if not changed:
        return False
    ClusterView.objects.filter(pk=row.pk).update(changed_at=now, version=row.version + 1, **changed)
    return (
        "pods" in changed
        or any(event.get("reason") not in ROUTINE for event in change.events)
        or ("manifests" in changed and is_moved(row.manifests, columns["manifests"]))
    )


def is_moved(before: Mapping[str, Manifest], after: Mapping[str, Manifest]) -> bool:
    """Whether objects came, went, or changed in what is wanted of them or read from them."""
    if before.keys() - after.keys():
        return True
    if any(after[key]["kind"] != ENDPOINT_SLICE.name for key in after.keys() - before.keys()):
        return True
    return any(found != after[key] and telling(found) != telling(after[key]) for key, found in before.items())


def telling(found: Manifest) -> dict[str, Any]:
    """What of an object is looked at: the status of few kinds is, and of an EndpointSlice only that it goes."""
    if found["kind"] in STATUS_COUNTS:
        return found
    if found["kind"] == ENDPOINT_SLICE.name:
        return {}
    metadata = {name: value for name, value in found["metadata"].items() if name != "resourceVersion"}
    if found["kind"] == DEPLOYMENT.name:
        annotations = metadata.get("annotations") or {}
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != CONTROLLERS_COUNT}
        return {**found, "metadata": metadata, "status": telling_conditions(found)}
    return {name: value for name, value in found.items() if name != "status"} | {"metadata": metadata}


def telling_conditions(deployment: Manifest) -> list[Any]:
    """That its pods are refused, or that it waits for too long (``troubles.service_trouble``).

    How many of them there are, and are ready, the pods say themselves.
    """
    refused, progress = condition(deployment, "ReplicaFailure"), condition(deployment, "Progressing")
    is_late = progress.get("reason") == "ProgressDeadlineExceeded"
    observed = status_of(deployment).get("observedGeneration") if refused else None
    return [refused, observed, is_late and progress]


def merge(
    seen: Mapping[str, Manifest], kept: Mapping[str, Manifest], versions: Mapping[str, str]
) -> dict[str, Manifest]:
    """What the watch has seen, and what a worker wrote that the watch has yet to come to.

    Versions are compared as numbers, as Kubernetes says they may be (KEP-5504; etcd's were never anything else).
    """
    merged = dict(seen)
    for key, found in kept.items():
        if key in seen:
            if version_of(found) > version_of(seen[key]):
                merged[key] = found
        elif version_of(found) > number_of(versions.get(str(found.get("kind")), "")):
            merged[key] = found
    return merged


def number_of(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def merge_events(kept: Iterable[Manifest], new: Iterable[Manifest]) -> list[Manifest]:
    """The last ones, by when they last happened; one that happened again replaces what was kept of it."""
    found = {event["metadata"]["uid"]: event for event in (*kept, *new)}
    return sorted(found.values(), key=event_order)[-MOST_EVENTS:]


def event_order(event: Manifest) -> tuple[float, str]:
    at = happened_at(event)
    return (at.timestamp() if at else 0.0), str(event["metadata"].get("name"))


def take_out_of_routing(changes: Sequence[Change]) -> list[tuple[str, str]]:
    """Rows of pods that end or whose checks fail take no new requests from here on; their streams go on.

    Returns (uid, name) of the services that have such a row.
    """
    touched: set[tuple[str, str]] = set()
    for names, values in (
        ([name for change in changes for name in change.leaving], {"phase": "Stopping", "ready_at": None}),
        ([name for change in changes for name in change.unready], {"ready_at": None}),
    ):
        touched |= update_instances(names, values)
    return sorted(touched)


def update_instances(names: Sequence[str], values: dict[str, Any]) -> set[tuple[str, str]]:
    if not names:
        return set()
    rows = Instance.objects.filter(Instance.routable(), name__in=names)
    found = set(rows.values_list("service__uid", "service__name"))
    if found:
        rows.update(**values)
    return found


def forget_views(held: Iterable[str]) -> None:
    """Remove the rows of services that are gone from the cluster and from Slipway."""
    empty = ClusterView.objects.exclude(service_uid__in=Service.objects.values("uid")).exclude(service_uid__in=held)
    empty.filter(manifests={}, pods={}, changed_at__lt=timezone.now() - OWN_WRITE).delete()
