"""The cast of every page: an owner, an operator, a viewer and a stranger; and services in a chosen state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from deployments.encryption import encrypt
from deployments.models import Instance, Membership, Revision, Role, Service, Status, Workspace
from inference_gateway.models import Sample, UsageEvent, UsageHour

TOKEN = "NDJkMzU2YjJhYzE3ZTZhNzY2ZTA5Zjk4YmYyNzUxNTc="
ServiceMaker = Callable[..., Service]


@pytest.fixture
def nothing_counted(db: None) -> None:
    """What servers of other files have written behind their last test is gone."""
    for model in (UsageHour, UsageEvent, Sample):
        model.objects.all().delete()


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.create(slug="harbour", name="Harbour")


def make_person(name: str, workspace: Workspace | None, role: Role | None) -> Client:
    user = User.objects.create_user(name, password=f"{name}-has-a-secret")
    if workspace is not None and role is not None:
        Membership.objects.create(user=user, workspace=workspace, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner(workspace: Workspace) -> Client:
    return make_person("olga", workspace, Role.OWNER)


@pytest.fixture
def operator(workspace: Workspace) -> Client:
    return make_person("oskar", workspace, Role.OPERATOR)


@pytest.fixture
def viewer(workspace: Workspace) -> Client:
    return make_person("vera", workspace, Role.VIEWER)


@pytest.fixture
def stranger(workspace: Workspace) -> Client:
    other = Workspace.objects.create(slug="elsewhere", name="Elsewhere")
    return make_person("sven", other, Role.OWNER)


def document(name: str, **environment: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "instance": 1, "cpu": 2, "memory": 2048},
        "labels": {"ServiceEngineType": "chat-llm"},
        "containers": [
            {
                "image": "chat-llm-webui:3.0",
                "script": "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct",
                "port": 8000,
                "env": [{"name": key, "value": value} for key, value in environment.items()],
            }
        ],
    }


@pytest.fixture
def make_service(workspace: Workspace) -> ServiceMaker:
    """A service row as reconcile would have left it; nothing runs."""

    def make(name: str, status: Status = Status.RUNNING, *, ready: int = 1, **fields: Any) -> Service:
        now = timezone.now()
        values = {
            "workspace": workspace,
            "status": status,
            "reason": "RUNNING" if status == Status.RUNNING else str(status),
            "desired": "stopped" if status == Status.STOPPED else "running",
            "token_encrypted": encrypt(TOKEN),
            "observed_at": now,
            "next_check_at": now + timedelta(days=1),
        }
        service = Service.objects.create(name=name, **(values | fields))
        revision = Revision.objects.create(
            service=service, number=1, document=document(name, SECRET_SAUCE="pesto-genovese"), reason="Created"
        )
        service.wanted_revision = service.serving_revision = revision
        service.save(update_fields=["wanted_revision", "serving_revision"])
        for number in range(ready if status == Status.RUNNING else 0):
            Instance.objects.create(
                service=service,
                name=f"{name.replace('_', '-')}-{number}",
                revision_number=1,
                phase="Running",
                host="127.0.0.1",
                port=20000,
                started_at=now,
                ready_at=now,
            )
        return service

    return make
