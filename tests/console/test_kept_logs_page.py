"""The log viewer over logs that a watcher has kept of pods: the same page, whose lines are rows."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.utils import timezone

from deployments.clusters.kubernetes.logs.containers import Segment
from deployments.clusters.kubernetes.logs.record import Record
from deployments.models import KeptLog, Service
from tests.console.conftest import ServiceMaker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def service(make_service: ServiceMaker, settings: Any) -> Service:
    settings.SLIPWAY_CLUSTER = "kubernetes"
    return make_service("printer")


def keep(service: Service, instance: str, *runs: list[str]) -> KeptLog:
    """What the keeper leaves of an instance whose programs said this, one after another."""
    row = KeptLog.objects.create(service_uid=service.uid, instance=instance, created_at=timezone.now())
    record = Record(row)
    for number, lines in enumerate(runs):
        segment = Segment("main", f"container-{number}", is_previous=False, is_over=True)
        record.begin(segment)
        for line in lines:
            record.take(f"2026-01-01T12:{number:02}:00.123456789Z {line}".encode(), threading.Event())
        record.finish(segment)
    batch = record.collect()
    batch.write(timezone.now())
    record.accept(batch)
    return row


def test_the_page_shows_the_log_of_a_pod_that_is_gone(operator: Client, service: Service) -> None:
    keep(service, "printer-1", [f"line {number} <b>x</b>" for number in range(1, 1501)] + ["\x1b[31mred\x1b[0m"])
    KeptLog.objects.update(ended_at=timezone.now())
    page = operator.get("/services/printer/logs").content.decode()
    assert "line 1500 &lt;b&gt;x&lt;/b&gt;" in page
    assert page.count("<li id=") == 1000
    assert '<span class="ansi-red">red</span>' in page


def test_lines_search_and_the_run_before_are_the_same_as_anywhere(operator: Client, service: Service) -> None:
    keep(service, "printer-1", ["first run", "it failed"], ["second run"])
    lines = operator.get("/services/printer/logs/lines?instance=printer-1&first=0").json()
    assert [text for _, _, text in lines["lines"]] == ["first run", "it failed", "second run"]
    assert (lines["begin"], lines["end"], lines["next"]) == (0, 3, 3)
    assert operator.get("/services/printer/logs/search?instance=printer-1&q=RUN").json()["numbers"] == [1, 3]
    before = operator.get("/services/printer/logs/lines?instance=printer-1&first=0&previous=1").json()
    assert [text for _, _, text in before["lines"]] == ["first run", "it failed"]


def test_whoever_looks_at_a_log_that_is_not_followed_is_noted_once(operator: Client, service: Service) -> None:
    row = keep(service, "printer-1", ["hello"])
    operator.get("/services/printer/logs/lines?instance=printer-1&first=0")
    row.refresh_from_db()
    noted_at = row.asked_at
    assert noted_at is not None
    operator.get("/services/printer/logs/lines?instance=printer-1&first=0")
    row.refresh_from_db()
    assert row.asked_at == noted_at, "not again with every look"


async def test_a_download_has_every_line(service: Service, workspace: object) -> None:

    await sync_to_async(keep)(service, "printer-1", [f"line {number}" for number in range(2500)])
    client = AsyncClient()
    await client.aforce_login(await User.objects.acreate(username="root", is_superuser=True))
    answer: Any = await client.get("/services/printer/logs/download?instance=printer-1")
    text = b"".join([part async for part in answer]).decode()
    assert [line.partition(" ")[2] for line in text.splitlines()] == [f"line {number}" for number in range(2500)]


def test_logs_of_another_service_are_not_shown(operator: Client, service: Service, make_service: ServiceMaker) -> None:
    keep(make_service("other"), "other-1", ["secret"])
    lines = operator.get("/services/printer/logs/lines?instance=other-1&first=0").json()
    assert (lines["lines"], lines["kept"]) == ([], [])


def test_the_log_of_a_container_beside_the_main_one_is_chosen_by_its_name(operator: Client, service: Service) -> None:
    keep(service, "printer-1", ["of the program"])
    keep(service, "printer-1/side-1", ["of the other"])
    KeptLog.objects.update(created_at=timezone.now())
    page = operator.get("/services/printer/logs").content.decode()
    assert "of the program" in page
    assert '<option value="printer-1/side-1"' in page
    assert "of the other" in operator.get("/services/printer/logs?instance=printer-1/side-1").content.decode()
    told = operator.get("/services/printer/logs/lines?first=0").json()
    assert (told["instance"], [name for name, _ in told["kept"]]) == ("printer-1", ["printer-1", "printer-1/side-1"])
    download = operator.get("/services/printer/logs/download?instance=printer-1/side-1")
    assert 'filename="printer-1_side-1.log"' in download["Content-Disposition"]
