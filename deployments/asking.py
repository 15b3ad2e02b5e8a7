"""Whom to look at next: the queue of looks is the services' own rows, and a message only calls somebody to it.

::

    ask, ask_due ──► asked_at ──► find_waiting ──► leases.claim ──► reconcile.finish: asked_at is None

A message for each look cost a worker as much as the look itself. Who is called stays while anybody waits, and nobody is
called then (``dispatching``). A call that is lost is made up for by the sweep.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.utils import timezone

from deployments.leases import free_of_the_gone, is_free
from deployments.models import Service

#: What the clock asks for comes before what anything else does: what runs is seen in time also while a thousand new
#: services wait for their first look.
HEAD_START = timedelta(hours=1)
#: A look that failed is not tried again before, so that it does not keep others from theirs.
PUT_OFF = timedelta(seconds=5)


def ask(service_ids: Collection[int]) -> bool:
    """Have these services looked at. Returns whether somebody has to be called for it, once this is committed.

    Where a look has been asked for, it comes after now, or the one that runs notices that the service was made due.
    """
    return bool(Service.objects.filter(pk__in=service_ids, asked_at__isnull=True).update(asked_at=timezone.now()))


def ask_due() -> bool:
    """Have those looked at whose look is due. Returns whether any service waits."""
    now = timezone.now()
    due = Service.objects.filter(next_check_at__lte=now, asked_at__isnull=True)
    if due.exists():
        due.update(asked_at=now - HEAD_START)
    free_of_the_gone()
    return bool(find_waiting(1))


def find_waiting(limit: int) -> list[int]:
    """The services that a look is asked for and nobody looks at, the longest waiting first.

    Somebody else may come first: ``claim`` tells.
    """
    rows = Service.objects.filter(is_free(timezone.now()), asked_at__isnull=False)
    return list(rows.order_by("asked_at").values_list("pk", flat=True)[:limit])


def put_off(service_id: int) -> None:
    """After a look that failed: not at once again."""
    Service.objects.filter(pk=service_id).update(asked_at=None, next_check_at=timezone.now() + PUT_OFF)
