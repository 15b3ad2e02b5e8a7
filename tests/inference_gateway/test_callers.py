"""Who calls is counted off the path of requests, and written soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from inference_gateway.callers import MOST_OF_A_SERVICE, Callers, Count, write_counts
from inference_gateway.models import Caller
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until

pytestmark = [pytest.mark.backends, pytest.mark.django_db(transaction=True)]


def scope_of(address: str, agent: str) -> dict[str, Any]:
    return {"client": (address, 1), "headers": [(b"user-agent", agent.encode())]}


@pytest.fixture
def talker(server: Server) -> Iterator[Deployed]:
    with EndlessEngine() as engine:
        yield deploy(server, engine.port)


def test_a_program_that_calls_with_the_token_is_known_by_its_address_and_name(talker: Deployed) -> None:
    url = f"{talker.url}/v1/models"
    headers = {**talker.auth, "User-Agent": "nightly-report/2"}
    assert httpx.get(url, headers=headers, timeout=30).status_code == 200
    assert httpx.get(url, headers=headers, timeout=30).status_code == 200
    assert httpx.get(url, headers={"Authorization": "wrong"}, timeout=30).status_code == 401
    wait_until(lambda: Caller.objects.filter(calls=2).exists(), "the caller is written", 10)
    row = Caller.objects.get()
    assert row.address == "127.0.0.1"
    assert row.agent.startswith("nightly-report/2")
    assert timezone.now() - row.last_at < timedelta(minutes=1)


def test_counts_of_several_writers_add_up(talker: Deployed) -> None:
    key = (talker.row.pk, "10.0.0.1", "curl/8")
    for calls in (1, 4):
        write_counts({key: Count(calls, timezone.now())})
    assert Caller.objects.get(agent="curl/8").calls == 5


def test_what_could_not_be_written_is_counted_on_once(talker: Deployed) -> None:
    callers, now = Callers(), timezone.now()
    unwritten = {
        (talker.row.pk, "10.0.0.1", "curl/8"): Count(3, now),
        (talker.row.pk, "10.0.0.2", "curl/8"): Count(1, now),
    }
    callers.note(talker.row.pk, scope_of("10.0.0.1", "curl/8"))
    callers.count_on(unwritten)
    async_to_sync(callers.write)()
    assert dict(Caller.objects.values_list("address", "calls")) == {"10.0.0.1": 4, "10.0.0.2": 1}
    counted = {(talker.row.pk, "10.0.0.3", ""): Count(1, now)}
    write_counts(counted)
    assert not counted


def test_a_service_keeps_the_newest_of_many_callers(talker: Deployed) -> None:
    now = timezone.now()
    counted = {
        (talker.row.pk, f"10.0.{number // 250}.{number % 250}", ""): Count(1, now + timedelta(seconds=number))
        for number in range(MOST_OF_A_SERVICE + 5)
    }
    write_counts(counted)
    assert Caller.objects.count() == MOST_OF_A_SERVICE
    assert not Caller.objects.filter(address="10.0.0.0").exists()


def test_callers_of_a_service_that_is_gone_are_forgotten(talker: Deployed) -> None:
    callers = Callers()
    callers.note(talker.row.pk + 1000, scope_of("10.0.0.1", "curl/8"))
    callers.note(talker.row.pk, scope_of("10.0.0.2", "curl/8"))
    async_to_sync(callers.write)()
    assert list(Caller.objects.values_list("address", flat=True)) == ["10.0.0.2"]
