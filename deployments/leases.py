"""A lease on a service: one reconcile at a time, whoever runs it, without locks held across I/O.

A conditional UPDATE takes it (SQLite has no SKIP LOCKED). A holder that was killed is recognised by its
process being gone, where it ran on this machine; elsewhere its lease runs out.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import datetime, timedelta
from functools import lru_cache

from django.db.models import Q
from django.utils import timezone

from deployments.clusters.local.processes import find_process
from deployments.models import Service

LEASE_SECONDS = 30.0


@lru_cache(maxsize=8)
def process_name(pid: int) -> str:
    """``host:pid:start``, the same for a process's life and never again."""
    return f"{socket.gethostname()}:{pid}:{process_start(pid) or 0}"


def process_start(pid: int) -> str:
    """When a process began, opaque; "" where there is none. Colons separate the parts of a lease's name."""
    found = find_process(pid)
    return "" if found is None else found.start.replace(":", ".")


def is_gone(holder: str) -> bool:
    """Whether a holder's process has certainly ended. A process of another machine is never certain."""
    host, _, rest = holder.partition(":")
    pid, _, start = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    start = start.partition(":")[0]
    if start == "0":
        return False
    return process_start(int(pid)) != start


def is_free(now: datetime) -> Q:
    """Of services that nobody holds."""
    return Q(lease_until__isnull=True) | Q(lease_until__lt=now)


def claim(service_id: int, *, if_asked: bool = False) -> str | None:
    """Take the lease. Returns the holder's name to release it with, or None where somebody has it.

    By ``if_asked`` only of a service that a look is asked for: whoever held it before may have done that already.
    """
    now = timezone.now()
    me = f"{process_name(os.getpid())}:{threading.get_ident()}"
    rows = Service.objects.filter(pk=service_id, **({"asked_at__isnull": False} if if_asked else {}))
    lease = {"lease_holder": me, "lease_until": now + timedelta(seconds=LEASE_SECONDS)}
    if rows.filter(is_free(now)).update(**lease):
        return me
    holder = rows.values_list("lease_holder", flat=True).first()
    if holder and is_gone(holder) and rows.filter(lease_holder=holder).update(**lease):
        return me
    return None


def release(service_id: int, holder: str) -> None:
    """Give the lease back; nothing happens if it had run out and another took it."""
    Service.objects.filter(pk=service_id, lease_holder=holder).update(lease_holder="", lease_until=None)


def free_of_the_gone() -> None:
    """Give back what processes of this machine hold that have ended, of services that a look is asked for."""
    held = Service.objects.filter(asked_at__isnull=False, lease_until__isnull=False)
    for holder in set(held.values_list("lease_holder", flat=True)):
        if is_gone(holder):
            held.filter(lease_holder=holder).update(lease_holder="", lease_until=None)
