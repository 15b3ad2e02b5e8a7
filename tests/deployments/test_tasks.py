"""What the worker gets to first when there is more than it gets through, and how it shows that it works."""

from __future__ import annotations

import pytest
import redis
from django.core.cache import cache

from console.celery import app
from deployments.models import Service, Workspace
from deployments.readiness import WORKER_HEARTBEAT_KEY, find_worker_heartbeat_age_seconds
from deployments.tasks import publish_reconcile, reconcile_service, sweep


def test_a_sweep_overtakes_the_looks_that_were_asked_for_before(valkey: redis.Redis) -> None:
    for service_id in range(20):
        publish_reconcile(service_id)
    sweep.delay()
    publish_reconcile(20)
    taken = []
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        for _ in range(22):
            message = queue.get(timeout=5)
            taken.append(message.headers["task"])
            message.ack()
    assert taken == [sweep.name] + [reconcile_service.name] * 21


@pytest.mark.django_db
def test_what_is_due_is_looked_at_before_what_has_just_been_asked_for(valkey: redis.Redis) -> None:
    workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
    service = Service.objects.create(name="runs", workspace=workspace, token_encrypted="")
    publish_reconcile(service.pk + 1)
    sweep()
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        messages = [queue.get(timeout=5) for _ in range(2)]
        for message in messages:
            message.ack()
    assert [message.payload[0] for message in messages] == [[service.pk], [service.pk + 1]]


@pytest.mark.django_db
def test_a_look_at_a_service_is_a_sign_of_life_of_the_worker() -> None:
    cache.delete(WORKER_HEARTBEAT_KEY)
    reconcile_service(1)
    age = find_worker_heartbeat_age_seconds()
    assert age is not None
    assert age < 5
