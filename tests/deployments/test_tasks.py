"""What the worker gets to first when there is more than it gets through, and how it shows that it works."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from django.core.cache import cache
from django.utils import timezone

from console.celery import app
from deployments.asking import ask, find_waiting
from deployments.dispatching import PRESENT_KEY, Dispatcher, is_anybody_there
from deployments.leases import claim
from deployments.models import Desired, Revision, Service, Workspace
from deployments.readiness import WORKER_HEARTBEAT_KEY, find_worker_heartbeat_age_seconds
from deployments.tasks import call_worker, enqueue_reconcile, look_where_asked, reconcile_service, sweep

Make = Callable[[str], Service]
DOCUMENT = {
    "metadata": {"name": "any", "instance": 1, "cpu": 1, "memory": 64},
    "containers": [{"image": "any:1", "script": "exec python3 -m http.server 8000", "port": 8000}],
}


@pytest.fixture
def make(db: None) -> Make:
    """A stopped service that nobody has looked at; the next one is due in an hour."""
    workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]

    def make(name: str) -> Service:
        service = Service.objects.create(
            name=name,
            workspace=workspace,
            token_encrypted="",
            desired=Desired.STOPPED,
            next_check_at=timezone.now() + timedelta(hours=1),
        )
        service.wanted_revision = Revision.objects.create(service=service, number=1, document=DOCUMENT)
        service.save()
        return service

    return make


def sent(count: int) -> list[str]:
    """The tasks that messages were sent for, in the order in which a worker gets them; fails unless so many were."""
    taken = []
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        for _ in range(count):
            message = queue.get(timeout=5)
            taken.append(message.headers["task"])
            message.ack()
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.2)
    return taken


def test_a_sweep_overtakes_the_looks_that_were_asked_for_before(valkey: redis.Redis) -> None:
    for _ in range(20):
        call_worker()
    sweep.delay()
    call_worker()
    assert sent(22) == [sweep.name] + [look_where_asked.name] * 21


@pytest.mark.django_db
def test_what_is_due_is_looked_at_before_what_has_just_been_asked_for(make: Make, valkey: redis.Redis) -> None:
    new, runs = make("new"), make("runs")
    Service.objects.filter(pk=runs.pk).update(next_check_at=timezone.now())
    ask([new.pk])
    sweep()
    assert find_waiting(5) == [runs.pk, new.pk]
    assert claim(runs.pk, if_asked=True)
    assert find_waiting(5) == [new.pk]


@pytest.mark.django_db(transaction=True)
def test_nobody_is_called_where_somebody_sees_what_waits(make: Make, valkey: redis.Redis) -> None:
    first, second, third = make("first"), make("second"), make("third")
    enqueue_reconcile(first)
    cache.set(PRESENT_KEY, 1, timeout=60)
    enqueue_reconcile(second)
    cache.delete(PRESENT_KEY)
    enqueue_reconcile(second)
    enqueue_reconcile(third)
    assert sent(2) == [look_where_asked.name] * 2, "and each service is asked for once"


@pytest.mark.django_db(transaction=True)
def test_whoever_is_called_stays_until_nobody_waits(make: Make, valkey: redis.Redis) -> None:
    services = [make(f"s{number}") for number in range(3)]
    late = make("late")
    looked_at: list[int] = []
    was_there = threading.Event()

    def look(service_id: int) -> None:
        looked_at.append(service_id)
        Service.objects.filter(pk=service_id).update(asked_at=None)
        if is_anybody_there() and not was_there.is_set():
            was_there.set()
            ask([late.pk])

    ask([service.pk for service in services])
    assert not Dispatcher(look, threads=2).take_turn(), "nobody has to go on"
    assert sorted(looked_at) == sorted(service.pk for service in (*services, late))
    assert was_there.is_set()
    assert not is_anybody_there()


@pytest.mark.django_db(transaction=True)
def test_a_look_that_takes_long_keeps_no_other_from_its_own(make: Make, valkey: redis.Redis) -> None:
    slow, quick = make("slow"), make("quick")
    is_over = threading.Event()

    def look(service_id: int) -> None:
        if service_id == slow.pk:
            assert is_over.wait(20)
        Service.objects.filter(pk=service_id).update(asked_at=None)
        if service_id == quick.pk:
            is_over.set()

    ask([slow.pk])
    ask([quick.pk])
    assert not Dispatcher(look, threads=2).take_turn()
    assert find_waiting(5) == []


@pytest.mark.django_db(transaction=True)
def test_a_look_that_fails_does_not_keep_others_from_theirs(make: Make, valkey: redis.Redis) -> None:
    broken, whole = make("broken"), make("whole")
    Service.objects.filter(pk=broken.pk).update(wanted_revision=None)
    ask([broken.pk, whole.pk])
    look_where_asked()
    broken.refresh_from_db()
    whole.refresh_from_db()
    assert broken.observed_at is None
    assert broken.next_check_at > timezone.now(), "it is tried again, and not at once"
    assert whole.observed_at is not None
    assert find_waiting(5) == []


@pytest.mark.django_db
def test_what_a_dead_worker_held_is_looked_at_by_another(make: Make, valkey: redis.Redis) -> None:
    service = make("held")
    ask([service.pk])
    holder = claim(service.pk, if_asked=True)
    assert holder is not None
    sweep()
    assert find_waiting(5) == [], "held by a living process"
    Service.objects.update(lease_holder=holder.replace(f":{os.getpid()}:", ":4194304:"))
    sweep()
    assert find_waiting(5) == [service.pk]


@pytest.mark.django_db
def test_a_look_at_a_service_is_a_sign_of_life_of_the_worker() -> None:
    cache.delete(WORKER_HEARTBEAT_KEY)
    reconcile_service(1)
    age = find_worker_heartbeat_age_seconds()
    assert age is not None
    assert age < 5
