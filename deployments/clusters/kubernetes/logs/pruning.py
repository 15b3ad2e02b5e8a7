"""Forgets old logs: as many and for as long as the local cluster keeps them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from deployments.clusters.base import instance_of
from deployments.clusters.local.backend import KEPT_ENDED, KEPT_SECONDS
from deployments.models import KeptLog, Service

#: A log whose service has no row: of one deleted a moment ago, or made by hand.
KEPT_WITHOUT_SERVICE = timedelta(minutes=10)


def prune_logs(there: Collection[str], now: datetime) -> None:
    """``there`` are the names of the logs of pods that the cluster has: any other takes no more lines."""
    alive = KeptLog.objects.filter(ended_at=None).values_list("pk", "instance")
    gone = [pk for pk, instance in alive if instance not in there]
    KeptLog.objects.filter(pk__in=gone, ended_at=None).update(ended_at=now, is_followed=False)
    ended = KeptLog.objects.exclude(ended_at=None)
    ended.filter(ended_at__lt=now - timedelta(seconds=KEPT_SECONDS)).delete()
    ended.filter(ended_at__lt=now - KEPT_WITHOUT_SERVICE).exclude(
        service_uid__in=Service.objects.values("uid")
    ).delete()
    seen: dict[str, set[str]] = {}
    surplus = []
    rows = ended.order_by("-created_at", "-pk").values_list("pk", "service_uid", "instance")
    for pk, service_uid, log in rows:
        instances = seen.setdefault(service_uid, set())
        instances.add(instance_of(log))
        if len(instances) > KEPT_ENDED:
            surplus.append(pk)
    if surplus:
        KeptLog.objects.filter(pk__in=surplus).delete()
