"""The log viewer over real logs of a real process."""

from __future__ import annotations

import re
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
    found = operator.get(f"/services/printer/logs/search?instance={instance}&q=LINE 7 <b>").json()
    assert (found["total"], found["before"], len(found["numbers"])) == (1, 0, 1)
    number = found["numbers"][0]
    line = operator.get(f"/services/printer/logs/lines?instance={instance}&first={number - 1}&limit=1").json()
    assert line["lines"] == [[number, line["lines"][0][1], "line 7 <b>x</b>"]]


def test_matches_are_numbered_around_a_line(operator: Client, service: Service) -> None:
    instance = service.instances.get().name
    found = operator.get(f"/services/printer/logs/search?instance={instance}&q=<b>x</b>&at=1400").json()
    assert found["total"] == 1500
    assert found["numbers"][0] == found["before"] + 1
    assert len(found["numbers"]) == 1000 + 101
    nothing = operator.get(f"/services/printer/logs/search?instance={instance}&q=%00").json()
    assert nothing == {"total": 0, "before": 0, "numbers": []}


def test_colours_are_classes_and_without_scripts_older_lines_are_a_link_away(
    operator: Client, service: Service
) -> None:
    page = operator.get("/services/printer/logs").content.decode()
    assert '<span class="ansi-red">red</span>' in page
    older = re.search(r'href="([^"]+&amp;first=\d+)"', page)
    assert older
    page = operator.get(f"/services/printer/logs{older[1].replace('&amp;', '&')}").content.decode()
    assert "line 400 " in page


def test_a_viewer_reads_no_log(viewer: Client, service: Service) -> None:
    for page in ("", "/lines", "/search?q=line", "/download"):
        assert viewer.get(f"/services/printer/logs{page}").status_code == 403


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
    assert answer.json() | {"kept": []} == {
        "instance": "../../secret",
        "kept": [],
        "lines": [],
        "next": 0,
        "begin": 0,
        "end": 0,
        "waiting": "No line yet.",
    }
    assert operator.get("/services/printer/logs/search?instance=../../secret&q=x").json()["total"] == 0
