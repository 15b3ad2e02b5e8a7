"""The page Usage: sums over time and by service, key, person and model, for whom they concern."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from console import usage
from deployments.api_keys import KeyTerms, issue_api_key
from deployments.models import ApiKey, Workspace
from inference_gateway.models import UsageHour

pytestmark = pytest.mark.usefixtures("nothing_counted")
NOON = datetime(2026, 3, 5, 12, 34, tzinfo=UTC)


def use(workspace: Workspace, hours_ago: int = 0, now: datetime | None = None, **values: Any) -> UsageHour:
    hour = (now or timezone.now()).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    base = {
        "service_uid": "u",
        "service_name": "harbour_chat",
        "proof": "service_token",
        "model": "qwen",
        "requests": 1,
    }
    return UsageHour.objects.create(workspace_id=workspace.pk, hour=hour, **{**base, "requests": 1, **values})


@pytest.fixture
def key(viewer: Client, workspace: Workspace) -> ApiKey:
    return issue_api_key(User.objects.get(username="vera"), workspace, KeyTerms("laptop"))[0]


def test_without_usage_the_page_says_so(viewer: Client) -> None:
    page = viewer.get("/usage").content.decode()
    assert "Nothing was used in this time." in page
    assert '<svg class="usage-chart"' not in page


def test_bars_hold_what_was_used_in_their_time(workspace: Workspace) -> None:
    for hours_ago, tokens in ((0, 1), (1, 2), (23, 4), (24, 8), (24 * 6, 16), (24 * 29, 32), (24 * 31, 64)):
        use(workspace, hours_ago, NOON, prompt_tokens=tokens, service_name=f"s{tokens}")
    rows = UsageHour.objects.order_by()
    summed = {kept: usage.sum_over_time(rows, kept, NOON) for kept in usage.RANGES}
    assert [bar.prompt_tokens for bar in summed["24h"] if bar.tokens] == [4, 2, 1]
    assert summed["24h"][-1].begins_at == NOON.replace(minute=0)
    assert [bar.prompt_tokens for bar in summed["7d"] if bar.tokens] == [16, 8 + 4, 2, 1]
    assert summed["7d"][-1].begins_at == NOON.replace(minute=0)
    assert [bar.prompt_tokens for bar in summed["30d"] if bar.tokens] == [32, 16, 8 + 4, 2 + 1]
    assert {kept: len(bars) for kept, bars in summed.items()} == {"24h": 24, "7d": 28, "30d": 30}


def test_the_highest_bar_is_as_high_as_the_chart_and_the_parts_meet() -> None:
    low, high = usage.draw([usage.Used(prompt_tokens=1), usage.Used(prompt_tokens=1, completion_tokens=3)])
    assert (low.prompt_height, low.completion_height) == (usage.HEIGHT / 4, 0)
    assert (high.completion_y, high.completion_y + high.completion_height) == (0, high.prompt_y)
    assert high.prompt_y + high.prompt_height == usage.HEIGHT


def test_usage_is_told_by_service_key_person_and_model(owner: Client, workspace: Workspace, key: ApiKey) -> None:
    vera = key.user_id
    use(workspace, prompt_tokens=1000, completion_tokens=500, person_id=vera, key_id=key.pk, proof="api_key")
    use(workspace, prompt_tokens=10, person_id=vera, proof="session", service_name="yard_chat", model="glm", failed=1)
    use(workspace, prompt_tokens=1)
    shown = {
        dimension: [(one.name, one.tokens) for one, _ in owner.get(f"/usage?by={dimension}").context["found"]]
        for dimension in usage.DIMENSIONS
    }
    assert shown == {
        "service": [("harbour_chat", 1501), ("yard_chat", 10)],
        "key": [(f"laptop ({key.prefix}…)", 1500), ("Web chat", 10), ("Tokens of services", 1)],
        "person": [("vera", 1510), ("Tokens of services", 1)],
        "model": [("qwen", 1501), ("glm", 10)],
    }
    page = owner.get("/usage?by=key").content.decode()
    assert "3 requests, 1 of them failed, 1,511 tokens" in page
    key_id = key.pk
    key.delete()
    assert f"gone ({key_id})" in owner.get("/usage?by=key").content.decode()


def test_owners_see_their_workspace_s_usage_and_everybody_their_own(
    owner: Client, operator: Client, viewer: Client, stranger: Client, workspace: Workspace
) -> None:
    other = Workspace.objects.create(slug="yard", name="Yard")
    use(workspace, prompt_tokens=1)
    use(workspace, prompt_tokens=10, person_id=User.objects.get(username="vera").pk, proof="session")
    use(other, prompt_tokens=100)
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    seen = [client.get("/usage").context["total"].tokens for client in (owner, operator, viewer, stranger, root)]
    assert seen == [11, 0, 10, 0, 111]
    assert root.get("/usage?workspace=yard").context["total"].tokens == 100
    assert owner.get("/usage?workspace=yard").status_code == 404
    assert owner.get("/usage.csv?workspace=yard").status_code == 404


def test_csv_has_every_hour_and_no_formula(owner: Client, workspace: Workspace, key: ApiKey) -> None:
    use(workspace, 3, prompt_tokens=7, requests=2, person_id=key.user_id, key_id=key.pk, proof="api_key", model="=1+1")
    use(workspace, 40)
    answer = owner.get("/usage.csv?range=24h&workspace=harbour")
    assert answer["Content-Disposition"] == 'attachment; filename="usage-harbour-24h.csv"'
    head, *rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert head[:7] == ["hour", "workspace", "service", "person", "key", "proof", "model"]
    assert [row[1:] for row in rows] == [
        ["harbour", "harbour_chat", "vera", key.prefix, "api_key", "'=1+1", "2", "0", "7", "0"]
    ]
    assert len(list(csv.reader(io.StringIO(owner.get("/usage.csv?range=7d").content.decode())))) == 3


def test_many_rows_are_told_in_as_many_queries_as_few_and_the_least_together(
    owner: Client, workspace: Workspace, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    use(workspace, prompt_tokens=1)
    with CaptureQueriesContext(connection) as one:
        owner.get("/usage")
    for number in range(60):
        use(workspace, number % 20, prompt_tokens=1000 - number, service_name=f"service_{number}")
    with django_assert_num_queries(len(one)):
        found = owner.get("/usage").context["found"]
    assert len(found) == usage.MOST_ROWS + 1
    assert found[-1][0].name == "Others"
    assert sum(row.tokens for row, _ in found) == 1 + sum(1000 - number for number in range(60))


@pytest.mark.parametrize("query", ["range=7y", "by=colour", "range=%00", "by="])
def test_what_is_no_choice_is_the_usual_one(viewer: Client, query: str) -> None:
    context = viewer.get(f"/usage?{query}").context
    assert (context["kept"], context["dimension"]) == ("24h", "service")
