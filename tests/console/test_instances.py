"""A service's instances on its Overview: where they run, how they ended last, and restarting one."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.utils import timezone

from deployments.models import AuditEntry, ClusterView, Instance, Service, ServiceEvent, Status
from tests.console.conftest import ServiceMaker

RESTART = "/services/chat_a/instances/chat-a-0/restart"


def test_the_node_and_gpus_are_shown_where_there_are_any(owner: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    plain = owner.get("/services/chat_a").content.decode()
    assert ">Node<" not in plain
    service.instances.update(
        node="node-7", gpus=2, restart_count=3, last_exit_code=137, last_exit_reason="OOMKilled",
        last_exit_at=timezone.now(),
    )  # fmt: skip
    page = owner.get("/services/chat_a").content.decode()
    assert "node-7" in page
    assert 'data-label="GPUs">2<' in page
    assert ">137<" in page


def test_restarting_one_is_asked_with_what_it_costs(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    assert f'href="{RESTART}"' in operator.get("/services/chat_a").content.decode()
    assert "requests are refused until the new one does" in operator.get(RESTART).content.decode()
    Instance.objects.create(
        service=service, name="chat-a-1", revision_number=1, phase="Running", ready_at=timezone.now()
    )
    assert "1 other instance answers meanwhile" in operator.get(RESTART).content.decode()


def test_a_restarted_instance_leaves_routing_at_once_and_is_audited(
    operator: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    assert operator.post(RESTART).status_code == 302
    row = service.instances.get()
    assert (row.phase, row.ready_at) == ("Stopping", None)
    assert not service.instances.filter(Instance.routable()).exists()
    assert ServiceEvent.objects.get(service=service).code == "InstanceRestarted"
    assert AuditEntry.objects.get(action="service.restart_instance").after == {"instance": "chat-a-0"}
    assert Service.objects.get(pk=service.pk).next_check_at <= timezone.now()
    assert f'href="{RESTART}"' not in operator.get("/services/chat_a").content.decode()


def test_viewers_cannot_and_strangers_see_nothing(viewer: Client, stranger: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert RESTART not in viewer.get("/services/chat_a").content.decode()
    assert viewer.post(RESTART).status_code == 403
    assert stranger.post(RESTART).status_code == 404


def test_an_instance_of_another_service_is_404(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    make_service("chat_b")
    assert operator.post("/services/chat_a/instances/chat-b-0/restart").status_code == 404


def test_a_stopped_service_has_none_to_restart(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a", Status.STOPPED)
    Instance.objects.create(service=service, name="chat-a-0", revision_number=1, phase="Stopping")
    answer = operator.post(RESTART)
    assert answer.status_code == 409
    assert "Start it instead" in answer.content.decode()


def event(name: str, reason: str, at: str | None, **other: Any) -> dict[str, Any]:
    about = {"kind": "Pod", "name": name}
    return {"involvedObject": about, "reason": reason, "type": "Warning", "lastTimestamp": at, "message": "m", **other}


def test_kubernetes_own_events_are_kept_as_it_told_them(
    operator: Client, viewer: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    assert "told of nothing" in operator.get("/services/chat_a/events/cluster").content.decode()
    events = [
        event("chat-a-0", "FailedScheduling", "2026-11-21T10:00:00Z", count=3, firstTimestamp="2026-11-21T09:59:00Z"),
        event("chat-a-1", "Pulling", "2026-11-21T10:00:05Z", message="Pulling image\n chat-llm:3.0"),
        event("chat-a-0", "Scheduled", None, eventTime="2026-11-21T10:00:01.000000Z"),
    ]
    ClusterView.objects.create(service_uid=service.uid, events=events, changed_at=timezone.now())
    lines = operator.get("/services/chat_a/events/cluster").content.decode().splitlines()
    assert [line.split()[2] for line in lines] == ["Pulling", "Scheduled", "FailedScheduling"]
    assert lines[0].endswith("Pod/chat-a-1  Pulling image chat-llm:3.0")
    assert lines[2].endswith("(x3 since 2026-11-21T09:59:00Z)")
    one = operator.get("/services/chat_a/events/cluster?instance=chat-a-1").content.decode()
    assert len(one.splitlines()) == 1
    assert viewer.get("/services/chat_a/events/cluster").status_code == 403
