"""Celery tasks. They make things quick, never right: each carries an id, and the sweep finds what was lost."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db import close_old_connections, transaction

from deployments.access_keys import forget_old_keys
from deployments.api_keys import forget_old_api_keys
from deployments.asking import ask, ask_due, put_off
from deployments.audit import prune_audit
from deployments.clusters import get_cluster
from deployments.dispatching import Dispatcher, is_anybody_there
from deployments.models import Service
from deployments.notices import prune_notices
from deployments.readiness import stamp_worker_heartbeat
from deployments.reconcile import due_after_boot, reconcile, remove_orphans
from deployments.sign_ins import forget_old_sign_ins
from deployments.timelines import prune_old_steps

logger = logging.getLogger(__name__)

#: The sweep calls again by then.
CALL_EXPIRES_SECONDS = 2.0
LOOKS_AT_ONCE = 8


@shared_task(name="deployments.tasks.look_where_asked")
def look_where_asked() -> None:
    """Have every service looked at that waits for it, also those that come to wait meanwhile."""
    try:
        if dispatcher.take_turn():
            call_worker()
    except Exception:  # an edge: the database or Valkey may be away; the sweep calls again
        logger.exception("the services that wait for a look could not be looked at")
    finally:
        note_work()


def look_at(service_id: int) -> None:
    """One step towards what is wanted; asks for the next where something is in motion."""
    try:
        step = reconcile(service_id, if_asked=True)
    except Exception:  # an edge: one service's trouble must not reach the others; the sweep comes back to it
        logger.exception("service %s: reconcile failed", service_id)
        put_off(service_id)
        return
    if step.again_in_seconds:
        reconcile_service.apply_async((service_id,), countdown=step.again_in_seconds)
    elif step.again_in_seconds is not None:
        ask([service_id])
        if not dispatcher.has_free_hands:
            call_worker_where_needed()


dispatcher = Dispatcher(look_at, LOOKS_AT_ONCE)


@shared_task(name="deployments.tasks.reconcile_service")
def reconcile_service(service_id: int) -> None:
    """A look at one service that was planned for this moment."""
    try:
        ask([service_id])
        look_at(service_id)
    finally:
        note_work()


def note_work() -> None:
    """A worker with more to do than it gets through works all the same: it must not be taken for one that hangs."""
    try:
        stamp_worker_heartbeat()
    except Exception as error:  # an edge: without Valkey nobody asks for the heartbeat either
        logger.warning("the heartbeat was not written: %s", error)


@shared_task(name="deployments.tasks.sweep")
def sweep() -> None:
    """Every two seconds: stamp the heartbeat, and call somebody where a service waits for a look or is due for one."""
    stamp_worker_heartbeat()
    if ask_due() and not dispatcher.has_free_hands:  # of another worker's one cannot be sure
        call_worker(expires=CALL_EXPIRES_SECONDS)


@shared_task(name="deployments.tasks.tidy")
def tidy() -> None:
    """Every half minute: remove what outlived its use, in the cluster and in the database."""
    remove_orphans(get_cluster())
    forget_old_keys()
    forget_old_api_keys()
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


@worker_shutting_down.connect
def end_dispatching(**_: Any) -> None:
    """Nothing new is begun."""
    dispatcher.end()


def enqueue_reconcile(service: Service) -> None:
    """Ask for a look, once the transaction is committed. A failure is logged; the sweep makes up for it."""
    ask_on_commit([service.pk])


def ask_on_commit(service_ids: Collection[int]) -> None:
    """The same for services whose rows say already that a look is due."""
    if ask(service_ids):
        transaction.on_commit(call_worker_where_needed, robust=True)


def call_worker_where_needed() -> None:
    """Have somebody look at what waits for it, unless somebody is there who sees it anyway."""
    try:
        if is_anybody_there():
            return
    except Exception as error:  # an edge: Valkey may be away, the broker with it or not
        logger.warning("it is not known whether somebody looks: %s", error)
    call_worker()


def call_worker(**options: Any) -> None:
    try:
        look_where_asked.apply_async(retry=False, **options)
    except Exception as error:  # an edge: the broker may be down, the request has succeeded all the same
        logger.warning("no worker was called (%s); the sweep will do it", error)
