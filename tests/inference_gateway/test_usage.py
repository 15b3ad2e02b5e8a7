"""Usage from the end of a request to the tables: once and only once, whatever dies on the way."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import DatabaseError, connection

from deployments import api_keys
from deployments.models import Workspace
from inference_gateway.accounts import Account, Ending
from inference_gateway.chat import Usage
from inference_gateway.database import in_database
from inference_gateway.directory import UNREADABLE, ServiceEntry
from inference_gateway.metering import taking
from inference_gateway.metering.segment import SUFFIX
from inference_gateway.metering.spool import Spool, take_left, take_some
from inference_gateway.metering.taking import read_used
from inference_gateway.models import UsageEvent, UsageHour, UsageSpool
from inference_gateway.principals import Principal, Proof
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.backends

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * 40}]}
SERVICE = ServiceEntry(
    id=1,
    uid="eas-m-one",
    name="one",
    workspace_id=987_001,
    token="x",
    traits=UNREADABLE,
    is_stopped=False,
    wanted_instances=1,
    status="Running",
    message="",
    routes=(),
    principal=Principal(Proof.SERVICE_TOKEN, 987_001),
)


def closed(number: int = 1, status: int = 200, key: int = 7) -> Account:
    principal = Principal(Proof.API_KEY, 987_001, 3, key)
    account = Account(SERVICE, principal, "chat", f"request-{number}", status=status)
    account.count(Usage(2, 3))
    account.ending, account.ended_at = Ending.FINISHED, account.began_at + 0.25
    account.settle()
    return account


def file_in(folder: Path) -> Path:
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


def size_of(path: Path) -> int:
    """Of its lines: behind them a file has zeros."""
    return len(path.read_bytes().rstrip(b"\0"))


def totals() -> tuple[int, int, int]:
    """Events, and requests and tokens of all hours. A server of another test may still write its own."""
    hours = list(UsageHour.objects.filter(service_uid=SERVICE.uid))
    tokens = sum(one.prompt_tokens + one.completion_tokens for one in hours)
    return UsageEvent.objects.filter(service_uid=SERVICE.uid).count(), sum(one.requests for one in hours), tokens


@pytest.mark.django_db(transaction=True)
class TestSpool:
    async def test_what_is_written_is_in_the_tables_once(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        for number in range(5):
            spool.closed(closed(number, status=200 if number else 502))
        await spool.take()
        await spool.take()
        name = file_in(tmp_path).stem
        assert await in_database(UsageSpool.objects.filter(name=name).exists)
        spool.closed(closed(6))
        await spool.close()
        assert await in_database(totals) == (6, 6, 30)
        hour = await in_database(UsageHour.objects.get, service_uid=SERVICE.uid)
        assert (hour.failed, hour.prompt_tokens, hour.completion_tokens) == (1, 12, 18)
        assert (hour.service_name, hour.person_id, hour.key_id, hour.proof) == ("one", 3, 7, "api_key")
        event = await in_database(UsageEvent.objects.get, request_id="request-6")
        assert (event.duration_ms, event.is_counted, event.ending) == (250, True, "finished")
        assert os.listdir(tmp_path) == []
        assert not await in_database(UsageSpool.objects.filter(name=name).exists)

    async def test_what_a_dead_process_left_is_taken_once_by_whoever_comes(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        for number in range(100):
            spool.closed(closed(number))
        path = file_in(tmp_path)
        await in_database(take_left, tmp_path)
        assert await in_database(totals) == (0, 0, 0)  # its process lives
        # A part was taken, the last line was being written, and then it died: the lock is gone with it.
        taken = await in_database(take_some, path, 0)
        assert taken == size_of(path)
        for number in range(100, 150):
            spool.closed(closed(number))
        with path.open("r+b") as file:
            file.seek(size_of(path))
            file.write(b'[1700000000,"half')
        spool._segment.close()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: _close_after(lambda: take_left(tmp_path)), range(4)))
        assert await in_database(totals) == (150, 150, 750)
        assert os.listdir(tmp_path) == []

    async def test_two_that_take_the_same_lines_take_them_once(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        for number in range(200):
            spool.closed(closed(number, key=number % 5))
        path = file_in(tmp_path)
        with ThreadPoolExecutor(4) as threads:
            took = list(threads.map(lambda _: _close_after(lambda: _try(lambda: take_some(path, 0))), range(4)))
        assert size_of(path) in took
        while await in_database(take_some, path, size_of(path)) != size_of(path):
            pass
        assert await in_database(totals) == (200, 200, 1000)
        await spool.close()

    async def test_while_the_database_is_away_usage_waits_on_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool = Spool(tmp_path)
        spool.closed(closed(1))
        await in_database(_rename, "inference_gateway_usageevent", "gone")
        try:
            with pytest.raises(DatabaseError):
                await spool.take()
            spool.closed(closed(2))
        finally:
            await in_database(_rename, "gone", "inference_gateway_usageevent")
        assert await in_database(totals) == (0, 0, 0)
        await spool.close()
        assert await in_database(totals) == (2, 2, 10)

    async def test_a_line_that_nobody_can_read_is_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / f"odd{SUFFIX}"
        await asyncio.to_thread(path.write_bytes, b'{"not": "a record"}\n\xff\xfe\n')
        await in_database(take_left, tmp_path)
        assert await in_database(totals) == (0, 0, 0)
        assert os.listdir(tmp_path) == []

    async def test_events_are_kept_for_a_while_and_so_many(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(taking, "MOST_EVENTS", 7)
        monkeypatch.setattr(taking, "FORGOTTEN_AT_ONCE", 2)
        spool = Spool(tmp_path)
        for number in range(12):
            spool.closed(closed(number))
        await spool.close()
        long_ago = datetime.now(UTC) - timedelta(days=36)
        await in_database(UsageEvent.objects.filter(request_id="request-9").update, at=long_ago)
        newest = await in_database(lambda: UsageEvent.objects.order_by("-pk").values_list("pk", flat=True)[0])
        await in_database(taking.forget_surplus_events)
        await in_database(taking.forget_old_events)
        left = await in_database(
            lambda: sorted(UsageEvent.objects.filter(service_uid=SERVICE.uid).values_list("request_id", flat=True))
        )
        kept = await in_database(
            lambda: UsageEvent.objects.filter(pk__lte=newest - 7, service_uid=SERVICE.uid).exists()
        )
        assert not kept
        assert "request-9" not in left
        assert "request-11" in left
        assert (await in_database(totals))[1] == 12

    async def test_budgets_read_what_is_kept(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        for number in range(3):
            spool.closed(closed(number, key=7))
        spool.closed(closed(4, key=8))
        await spool.close()
        now = datetime.now(UTC)
        used = {
            subject: await in_database(read_used, subject, now)
            for subject in ("key:7", "key:9", "person:3@987001", "person:3@2", "workspace:987001")
        }
        assert used == {
            "key:7": (15, 15),
            "key:9": (0, 0),
            "person:3@987001": (20, 20),
            "person:3@2": (0, 0),
            "workspace:987001": (20, 20),
        }


def _close_after(function: Any) -> Any:
    try:
        return function()
    finally:
        connection.close()


def _try(function: Any) -> Any:
    """SQLite may refuse one of two that write at once; it comes again in a second."""
    try:
        return function()
    except DatabaseError:
        return None


def _rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def events_of(service: Deployed) -> list[UsageEvent]:
    return list(UsageEvent.objects.filter(service_uid=service.row.uid).order_by("pk"))


def issue(workspace: Workspace, django_user_model: Any, **limits: int) -> str:
    person = django_user_model.objects.create_superuser("lim", password="x")
    return api_keys.issue_api_key(person, workspace, api_keys.KeyTerms("k", limits=limits), None)[1]


def test_every_dialect_is_counted(server: Server, endless: EndlessEngine) -> None:
    endless.ends_after = 3
    service = deploy(server, endless.port)
    told = [
        httpx.post(f"{service.url}/v1/chat/completions", json=ASKED | {"stream": True}, headers=service.auth),
        httpx.post(f"{service.url}/v1/chat/completions", json=ASKED, headers=service.auth),
        httpx.post(service.url, json={"prompt": "x" * 40}, headers=service.auth),
        httpx.post(
            f"{service.url}/v1/messages",
            json=ASKED | {"model": "m", "max_tokens": 9},
            headers={"x-api-key": service.token},
        ),
    ]
    assert [one.status_code for one in told] == [200] * 4
    wait_until(lambda: len(events_of(service)) == 4, "usage is in the tables", 10)
    assert {one.request_id for one in events_of(service)} == {one.headers["x-request-id"] for one in told}
    streamed = events_of(service)[0]
    # The engine counts nothing: by length, and by what came.
    assert (streamed.prompt_tokens, streamed.is_counted, streamed.proof) == (15, False, "service_token")
    assert streamed.completion_tokens >= 3


def test_a_key_s_limits_hold_in_every_dialect(server: Server, endless: EndlessEngine, django_user_model: Any) -> None:
    endless.ends_after = 1
    service = deploy(server, endless.port)
    key = issue(service.row.workspace, django_user_model, requests_per_minute=3)
    auth = {"Authorization": f"Bearer {key}"}
    first = httpx.post(f"{service.url}/v1/chat/completions", json=ASKED, headers=auth)
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "2")
    assert httpx.post(service.url, json={"prompt": "x"}, headers=auth).headers["x-ratelimit-remaining-requests"] == "1"
    assert httpx.get(f"{service.url}/anything", headers=auth).headers["x-ratelimit-remaining-requests"] == "0"
    asked = len(endless.asked)
    refused = [
        httpx.post(f"{service.url}/v1/chat/completions", json=ASKED | {"stream": True}, headers=auth),
        httpx.post(service.url, json={"prompt": "x"}, headers=auth),
        httpx.post(f"{service.url}/v1/messages", json=ASKED | {"model": "m", "max_tokens": 9}, headers=auth),
        httpx.get(f"{service.url}/anything", headers=auth),
    ]
    assert [one.status_code for one in refused] == [429] * 4
    for one in refused:
        assert 0 < int(one.headers["retry-after"]) <= 60
        assert len(one.headers.get_list("retry-after")) == 1
        assert one.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
    assert refused[2].json()["error"]["type"] == "rate_limit_error"
    assert len(endless.asked) == asked


def test_a_budget_is_spent_and_settled(server: Server, endless: EndlessEngine, django_user_model: Any) -> None:
    endless.ends_after = 2
    service = deploy(server, endless.port)
    key = issue(service.row.workspace, django_user_model, tokens_per_day=60)
    auth = {"Authorization": f"Bearer {key}"}
    statuses = []
    for _ in range(6):
        answer = httpx.post(f"{service.url}/v1/chat/completions", json=ASKED | {"max_tokens": 5}, headers=auth)
        statuses.append(answer.status_code)
    assert statuses[:2] == [200, 200]
    assert statuses[-1] == 429
    assert answer.json()["error"]["code"] == "insufficient_quota"


def test_a_killed_server_loses_no_usage(server: Server, endless: EndlessEngine) -> None:
    """Faults 29 and 39 of gateway.md §5.3: what callers have whole is counted, once."""
    endless.ends_after = 1
    service = deploy(server, endless.port)
    own = Server()
    own.start()
    answered: list[str] = []
    url = f"{own.url}{service.path}/v1/chat/completions"

    def ask_on() -> None:
        with httpx.Client() as client:
            try:
                while True:
                    answer = client.post(url, json=ASKED, headers=service.auth)
                    if answer.status_code == 200:
                        answered.append(answer.headers["x-request-id"])
            except httpx.TransportError:
                return

    callers = [threading.Thread(target=ask_on) for _ in range(8)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(answered) > 100, "answers come", 30)
    own.kill()
    for caller in callers:
        caller.join(10)
    wait_until(lambda: len(events_of(service)) >= len(answered), "the other server takes what was left", 40)
    counted = [one.request_id for one in events_of(service)]
    assert len(counted) == len(set(counted))
    assert set(answered) <= set(counted)
    assert len(counted) - len(answered) <= len(callers)  # those that were on their way to the caller
    assert sum(one.requests for one in UsageHour.objects.filter(service_uid=service.row.uid)) == len(counted)


def test_a_caller_who_leaves_is_counted_as_far_as_the_answer_came(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    with (
        httpx.Client() as client,
        client.stream(
            "POST", f"{service.url}/v1/chat/completions", json=ASKED | {"stream": True}, headers=service.auth
        ) as answer,
    ):
        for number, _ in enumerate(answer.iter_lines()):
            if number > 20:
                break
    wait_until(lambda: len(events_of(service)) == 1, "usage is in the tables", 10)
    (event,) = events_of(service)
    assert (event.status, event.ending) == (499, "stopped")
    assert event.completion_tokens >= 10
