"""What the pages of a service say of one that waits: the head of its card, and the steps of its start."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console.start_timeline import timelines_of
from deployments.models import Instance, ServiceEvent, StartStep, Status
from deployments.stages import Stage
from tests.console.conftest import ServiceMaker


@pytest.mark.parametrize(
    ("status", "reason", "title"),
    [
        (Status.WAITING, "Unschedulable", "What it waits for"),
        (Status.UPDATING, "Unschedulable", "What it waits for"),
        (Status.FAILED, "Unschedulable", "Why it does not run"),
        (Status.RUNNING, "UpdateHalted", "Why the update was rolled back"),
        (Status.RUNNING, "DocumentRefused", "Why it is left as it is"),
        (Status.DELETE_FAILED, "DeleteFailed", "Why it cannot be deleted"),
    ],
)
def test_a_card_s_head_tells_waiting_from_failing(
    operator: Client, make_service: ServiceMaker, status: Status, reason: str, title: str
) -> None:
    service = make_service("chat_a", status, reason=reason, message="At most 0 are free.")
    ServiceEvent.objects.create(service=service, type="Warning", code=reason, message="m", cure="Wait.")
    page = operator.get("/services/chat_a").content.decode()
    assert f'<h2 id="failure-title">{title}</h2>' in page
    tone = "warn" if title == "What it waits for" else "bad"
    assert f'data-tone="{tone}" aria-labelledby="failure-title"' in page


@pytest.mark.parametrize("stage", [one for one in Stage if one not in (Stage.NONE, Stage.READY, Stage.ENDING)])
def test_every_stage_of_a_start_has_its_own_word(operator: Client, make_service: ServiceMaker, stage: Stage) -> None:
    service = make_service("chat_a", Status.WAITING)
    now = timezone.now()
    before = {"service": service, "instance": "chat-a-0", "revision_number": 1, "outcome": "done", "alike": "x"}
    if stage is not Stage.SCHEDULED:
        StartStep.objects.create(stage=Stage.SCHEDULED, began_at=now - timedelta(seconds=2), ended_at=now, **before)
    instance = Instance.objects.create(
        service=service, name="chat-a-0", revision_number=1, phase="Pending", stage=str(stage), stage_since=now
    )
    assert operator.get("/services/chat_a").status_code == 200
    words = [step.word for step in timelines_of(service, [instance], now)[0].steps]
    assert all(words)
    assert len(set(words)) == len(words)
