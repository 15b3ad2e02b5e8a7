"""Celery tasks. They make things quick, never right: each carries an id, and the sweep finds what was lost."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.db import close_old_connections, transaction

from deployments.access_keys import forget_old_keys
from deployments.audit import prune_audit
from deployments.clusters import get_cluster
from deployments.models import Service
from deployments.notices import prune_notices
from deployments.readiness import stamp_worker_heartbeat
from deployments.reconcile import ask, due_after_boot, due_services, reconcile, remove_orphans
from deployments.sign_ins import forget_old_sign_ins
from deployments.timelines import prune_old_steps

logger = logging.getLogger(__name__)

#: Before the looks that something else asks for (``CELERY_TASK_ROUTES``), after everything else.
DUE_PRIORITY = 6


@shared_task(name="deployments.tasks.reconcile_service")
def reconcile_service(service_id: int) -> None:
    """One step towards what is wanted; asks for the next where something is in motion."""
    try:
        step = reconcile(service_id)
    except Exception:  # an edge: one service's trouble must not reach the others; the sweep comes back to it
        logger.exception("service %s: reconcile failed", service_id)
        return
    finally:
        note_work()
    if step.again_in_seconds is not None and (step.again_in_seconds or ask([service_id])):
        reconcile_service.apply_async((service_id,), countdown=step.again_in_seconds)


def note_work() -> None:
    """A worker with more to do than it gets through works all the same: it must not be taken for one that hangs."""
    try:
        stamp_worker_heartbeat()
    except Exception as error:  # an edge: without Valkey nobody asks for the heartbeat either
        logger.warning("the heartbeat was not written: %s", error)


@shared_task(name="deployments.tasks.sweep")
def sweep() -> None:
    """Every two seconds: stamp the heartbeat and enqueue every service whose look is due."""
    stamp_worker_heartbeat()
    for service_id in due_services():
        # What runs is seen in time also while a thousand new services wait for their first look.
        reconcile_service.apply_async((service_id,), priority=DUE_PRIORITY)


@shared_task(name="deployments.tasks.tidy")
def tidy() -> None:
    """Every half minute: remove what outlived its use, in the cluster and in the database."""
    remove_orphans(get_cluster())
    forget_old_keys()
    forget_old_sign_ins()


@shared_task(name="deployments.tasks.prune")
def prune() -> None:
    """Every five minutes: what looks through whole tables, and lets them grow for that long."""
    prune_audit()
    prune_old_steps()
    prune_notices()


@worker_ready.connect
def look_at_everything(**_: Any) -> None:
    """A fresh worker looks at all that is wanted at once."""
    try:
        due_after_boot()
        sweep.delay()
    except Exception:  # an edge: the beat's sweep does the same two seconds later
        logger.exception("the first sweep could not be started")
    finally:
        close_old_connections()


def enqueue_reconcile(service: Service) -> None:
    """Publish a reconcile once the transaction is committed. A failure is logged; the sweep makes up for it."""
    service_id = service.pk
    ask([service_id])
    transaction.on_commit(lambda: publish_reconcile(service_id))


def publish_reconcile(service_id: int) -> None:
    """The same at once, for a service whose row says already that a look is due."""
    try:
        reconcile_service.apply_async((service_id,), retry=False)
    except Exception as error:  # an edge: the broker may be down, the request has succeeded all the same
        logger.warning("service %s: no task was published (%s); the sweep will find it", service_id, error)
