"""What ``/readyz`` asks of the deployment side: does a worker work, and has everything been looked at."""

from __future__ import annotations

import time
from datetime import datetime

from django.core.cache import cache
from django.db.models import Q
from django.utils import timezone

from deployments.models import ClusterState, Service

#: Unix time of the last sweep or look at a service, an integer (Django's cache stores it as plain digits, so that the
#: supervisor can read it without Django).
WORKER_HEARTBEAT_KEY = "slipway:worker-heartbeat"


def stamp_worker_heartbeat() -> None:
    """Say that a worker did what a message from the broker asked for. A sweep and a look at a service call it."""
    cache.set(WORKER_HEARTBEAT_KEY, int(time.time()), timeout=None)


def find_worker_heartbeat_age_seconds() -> float | None:
    """Seconds since the last such task, or None when there was none. Raises when Valkey does not answer."""
    stamped_at = cache.get(WORKER_HEARTBEAT_KEY)
    return None if stamped_at is None else max(0.0, time.time() - float(stamped_at))


def count_unobserved(since: datetime) -> int:
    """Services wanted running whose instances nobody has looked at since ``since``."""
    unseen = Q(observed_at__isnull=True) | Q(observed_at__lt=since)
    return Service.objects.filter(unseen, desired="running").count()


def is_watched(key: str) -> bool:
    """Whether a watcher of this cluster (``KubernetesSettings.key``) is at work, whatever it hears."""
    return ClusterState.objects.filter(key=key, watcher_until__gt=timezone.now()).exists()
