"""Usage over REST: the same sums as the page, for the same people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console import usage
from deployments.api_keys import KeyTerms, issue_api_key
from deployments.models import ApiKey, Workspace
from tests.console.test_usage_page import use

pytestmark = pytest.mark.usefixtures("nothing_counted")


@pytest.fixture
def key(viewer: Client, workspace: Workspace) -> ApiKey:
    return issue_api_key(User.objects.get(username="vera"), workspace, KeyTerms("laptop"))[0]


def ask(client: Client, path: str = "usage", status: int = 200, **query: str) -> dict[str, Any]:
    answer = client.get(f"/api/v2/{path}", query_params=query, headers={"Accept-Language": "zh-hans"})
    assert answer.status_code == status, answer.content
    told: dict[str, Any] = json.loads(answer.content)
    return told


def used(*numbers: int) -> dict[str, int]:
    return dict(zip(("Requests", "Failed", "PromptTokens", "CompletionTokens"), numbers, strict=True))


def test_usage_is_summed_over_time_and_by_everything_that_the_page_knows(
    owner: Client, workspace: Workspace, key: ApiKey
) -> None:
    vera = key.user_id
    use(workspace, prompt_tokens=1000, completion_tokens=500, person_id=vera, key_id=key.pk, proof="api_key")
    use(workspace, prompt_tokens=10, person_id=vera, proof="session", service_name="yard_chat", model="glm", failed=1)
    use(workspace, 24 * 6, prompt_tokens=1)
    told = {name: ask(owner, GroupBy=name)["Groups"] for name in usage.DIMENSIONS}
    first, second = used(1, 0, 1000, 500), used(1, 1, 10, 0)
    assert told == {
        "service": [{"Name": "harbour_chat", **first}, {"Name": "yard_chat", **second}],
        "key": [{"Name": f"laptop ({key.prefix}…)", **first}, {"Name": "Web chat", **second}],
        "person": [{"Name": "vera", **used(2, 1, 1010, 500)}],
        "model": [{"Name": "qwen", **first}, {"Name": "glm", **second}],
    }
    day, week = ask(owner), ask(owner, Range="7d", GroupBy="person")
    assert (day["Range"], day["GroupBy"], day["Total"]) == ("24h", "service", used(2, 1, 1010, 500))
    assert (len(day["OverTime"]), day["OverTime"][-1]["PromptTokens"]) == (24, 1010)
    assert day["OverTime"][0]["StartTime"] == day["StartTime"]
    assert (len(week["OverTime"]), week["Total"]) == (28, used(3, 1, 1011, 500))
    assert week["Groups"][-1]["Name"] == "Tokens of services"


def test_hours_are_listed_oldest_first_in_pages(owner: Client, workspace: Workspace, key: ApiKey) -> None:
    use(workspace, 3, prompt_tokens=7, requests=2, person_id=key.user_id, key_id=key.pk, proof="api_key", model="=1+1")
    use(workspace, 1, person_id=key.user_id + 1000, key_id=key.pk + 1000, proof="api_key")
    use(workspace, 40)
    told = ask(owner, "usage/hours", Range="24h")
    assert told["TotalCount"] == 2
    first, second = told["Hours"]
    assert first.pop("Hour") < second["Hour"]
    assert first == {
        "WorkspaceId": "harbour",
        "ServiceName": "harbour_chat",
        "UserName": "vera",
        "ApiKeyPrefix": key.prefix,
        "Proof": "api_key",
        "Model": "=1+1",
        **used(2, 0, 7, 0),
    }
    assert (second["UserName"], second["ApiKeyPrefix"]) == (str(key.user_id + 1000), str(key.pk + 1000))
    page = ask(owner, "usage/hours", Range="7d", PageNumber="2", PageSize="1")
    assert (page["Hours"], page["TotalCount"]) == ([told["Hours"][0] | {"Hour": page["Hours"][0]["Hour"]}], 3)


def test_everybody_sees_what_the_page_shows_them(
    owner: Client, operator: Client, viewer: Client, stranger: Client, workspace: Workspace
) -> None:
    other = Workspace.objects.create(slug="yard", name="Yard")
    use(workspace, prompt_tokens=1)
    use(workspace, prompt_tokens=10, person_id=User.objects.get(username="vera").pk, proof="session")
    use(other, prompt_tokens=100)
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    cast = (owner, operator, viewer, stranger, root)
    assert [ask(client)["Total"]["PromptTokens"] for client in cast] == [11, 0, 10, 0, 111]
    assert [ask(client, "usage/hours")["TotalCount"] for client in cast] == [2, 0, 1, 0, 3]
    assert ask(root, WorkspaceId="yard")["Total"]["PromptTokens"] == 100
    assert ask(root, "usage/hours", WorkspaceId="yard")["TotalCount"] == 1
    for path in ("usage", "usage/hours"):
        assert ask(owner, path, 400, WorkspaceId="yard")["Errors"][0]["Field"] == "WorkspaceId"
        assert ask(Client(), path, 401)["Code"] == "Unauthorized"


@pytest.mark.parametrize("query", [{"Range": "7y"}, {"GroupBy": "colour"}, {"Range": "\0"}])
def test_what_is_no_choice_is_named(viewer: Client, query: dict[str, str]) -> None:
    assert ask(viewer, status=400, **query)["Errors"][0]["Field"] == next(iter(query))
