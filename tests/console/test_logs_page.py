"""The log viewer over real logs of a real process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from deployments import lifecycle
from deployments.models import Service, Status, Workspace
from deployments.spec import ServiceSpec
from tests.deployments.driving import TINY_SERVER, drive, driven, tiny_document

pytestmark = pytest.mark.django_db(transaction=True)
PRINTS = "for i in $(seq 1 1500); do echo \"line $i <b>x</b>\"; done; printf '\\033[31mred\\033[0m\\n'; exec "


@pytest.fixture
def service(workspace: Workspace) -> Iterator[Service]:
    actor = User.objects.create_superuser("root")
    spec = ServiceSpec.parse(tiny_document("printer", PRINTS + TINY_SERVER))
    service = driven(lifecycle.create(workspace, actor, spec), Status.RUNNING)
    yield service
    drive(lifecycle.delete(service, actor), None)


def test_the_page_holds_the_last_thousand_lines_as_text(operator: Client, service: Service) -> None:
    page = operator.get("/services/printer/logs").content.decode()
    assert "line 1500 &lt;b&gt;x&lt;/b&gt;" in page
    assert "line 400 " not in page
    assert page.count("<li id=") == 1000
    assert "red" in page
    assert "\x1b" not in page
    assert "<b>x</b>" not in page


def test_a_tail_goes_on_where_it_stopped_and_search_reads_all_lines(operator: Client, service: Service) -> None:
    instance = service.instances.get().name
    first = operator.get(f"/services/printer/logs/lines?instance={instance}&first=0&limit=10").json()
    assert len(first["lines"]) == 10
    then = operator.get(f"/services/printer/logs/lines?instance={instance}&first={first['next']}&limit=1").json()
    assert then["lines"][0][0] == first["lines"][-1][0] + 1
    found = operator.get(f"/services/printer/logs/lines?instance={instance}&q=line 7 <b>").json()
    assert [text.endswith("line 7 <b>x</b>") for _, text in found["lines"]] == [True]


async def test_a_download_has_every_line(service: Service, workspace: Workspace) -> None:
    client = AsyncClient()
    await client.aforce_login(await User.objects.aget(username="root"))
    instance = (await sync_to_async(service.instances.get)()).name
    answer = await client.get(f"/services/printer/logs/download?instance={instance}")
    assert answer["Content-Disposition"].startswith("attachment")
    parts: Any = answer  # a streaming response under ASGI; the stubs know the plain one
    text = b"".join([part async for part in parts]).decode()
    assert text.count("line ") >= 1500
    assert (await client.get("/services/printer/logs/download?instance=..%2f..%2fetc")).status_code == 404


def test_an_unknown_instance_is_an_empty_page(operator: Client, service: Service) -> None:
    answer = operator.get("/services/printer/logs/lines?instance=../../secret&first=0")
    assert answer.json() == {"lines": [], "next": 0, "total": 0}
