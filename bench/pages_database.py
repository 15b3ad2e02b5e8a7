"""A database full of services for ``bench_pages``: rows as Slipway would have left them; nothing runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.utils import timezone

from deployments.encryption import encrypt
from deployments.models import Desired, Instance, Revision, Service, ServiceEvent, Status, Workspace
from inference_gateway.models import Conversation
from tests.slipway_client import PASSWORD

WORKSPACES = 10
EVENTS_EACH = 5
ROWS_AT_ONCE = 500


def fill(count: int) -> None:
    """``count`` services with their revisions, events, instances and conversations, and a person ``admin``."""
    began = time.perf_counter()
    admin = User.objects.filter(username="admin").first() or User.objects.create_superuser("admin", password=PASSWORD)
    workspaces = [
        Workspace.objects.get_or_create(slug=f"team-{n}", defaults={"name": f"Team {n}"})[0] for n in range(WORKSPACES)
    ]
    for begin in range(0, count, ROWS_AT_ONCE):
        fill_some(range(begin, min(begin + ROWS_AT_ONCE, count)), admin, workspaces)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(f"{connection.vendor}: {count:,} services filled in {time.perf_counter() - began:.0f} s", flush=True)


def fill_some(numbers: range, admin: User, workspaces: Sequence[Workspace]) -> None:
    now = timezone.now()
    token = encrypt("a-token-of-a-service")
    statuses = [Status.STOPPED] * 15 + [Status.RUNNING] * 3 + [Status.FAILED, Status.WAITING]
    services = [
        Service(
            name=f"chat_{number:05d}" if number % 3 else f"embed_{number:05d}_with_a_longer_name",
            workspace=workspaces[number % len(workspaces)],
            created_by=admin,
            created_at=now - timedelta(minutes=number),
            updated_at=now - timedelta(seconds=(number * 7919) % 1_000_000),
            status=statuses[number % len(statuses)],
            reason="RUNNING" if statuses[number % len(statuses)] == Status.RUNNING else "STATE",
            message="Loading weights, 12 s. Usually 20 s.",
            desired=Desired.STOPPED if statuses[number % len(statuses)] == Status.STOPPED else Desired.RUNNING,
            wanted_instances=number % 4,
            token_encrypted=token,
            observed_at=now,
            next_check_at=now + timedelta(days=1),
        )
        for number in numbers
    ]
    with transaction.atomic():
        Service.objects.bulk_create(services)
        fill_around(services, admin, now)


def fill_around(services: Sequence[Service], admin: User, now: datetime) -> None:
    """A revision of each, their events, an instance of each that runs, and some conversations."""
    revisions = [
        Revision(service=one, number=1, author=admin, reason="Created", document=document(one.name)) for one in services
    ]
    Revision.objects.bulk_create(revisions)
    for service, revision in zip(services, revisions, strict=True):
        service.wanted_revision = service.serving_revision = revision
    Service.objects.bulk_update(services, ["wanted_revision", "serving_revision"], batch_size=200)
    ServiceEvent.objects.bulk_create(
        ServiceEvent(service=one, code="RUNNING", message="Running. 1 of 1 instance answers.", revision_number=1)
        for one in services
        for _ in range(EVENTS_EACH)
    )
    Instance.objects.bulk_create(
        Instance(
            service=one,
            name=f"{one.name.replace('_', '-')}-r1-0",
            revision_number=1,
            phase="Running",
            ready_at=now,
            started_at=now,
            port=20000,
            host="127.0.0.1",
        )
        for one in services
        if one.status == Status.RUNNING
    )
    Conversation.objects.bulk_create(
        Conversation(
            id=uuid4(),
            service=one,
            service_name=one.name,
            workspace=one.workspace,
            owner=admin,
            title="What is a slipway, and who was the first to build one?",
            source="web",
        )
        for one in services[::5]
    )


def document(name: str) -> dict[str, object]:
    """As the LLM form writes it."""
    return {
        "metadata": {"name": name, "instance": 1, "cpu": 4, "memory": 8192, "gpu": 1},
        "labels": {"ServiceEngineType": "chat-llm"},
        "containers": [
            {
                "image": "chat-llm-webui:3.0",
                "script": "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct",
                "port": 8000,
                "env": [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(10)],
            }
        ],
    }


def stop_everything() -> None:
    """What a Slipway that is started on these rows must not start."""
    Instance.objects.all().delete()
    Service.objects.update(
        status=Status.STOPPED,
        desired=Desired.STOPPED,
        reason="Stopped",
        wanted_instances=1,
        next_check_at=timezone.now() + timedelta(days=1),  # a worker that looks at all of them is another measurement
    )
    connections.close_all()
