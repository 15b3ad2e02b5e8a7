"""What a viewer, and a stranger, is answered at each page and each REST path: none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from deployments.encryption import encrypt
from deployments.models import Service, ServiceEvent, ServiceGroup
from tests.console.conftest import TOKEN, ServiceMaker

#: Status of GET for a viewer of the service and for a stranger, for every address below ``/services/<name>``.
PAGES: dict[str, tuple[int, int]] = {
    "": (200, 404),
    "edit": (403, 404),
    "monitoring": (200, 404),
    "events": (200, 404),
    "events/raw": (403, 404),
    "events/cluster": (403, 404),
    "versions": (200, 404),
    "versions/compare": (403, 404),
    "versions/1": (403, 404),
    "versions/1/document.json": (403, 404),
    "versions/1/document.yaml": (403, 404),
    "document.json": (403, 404),
    "document.yaml": (403, 404),
    "versions/1/switch": (403, 404),
    "logs": (403, 404),
    "debug": (403, 404),
    "invocation": (200, 404),
    "token": (405, 405),
    "token/rotate": (403, 404),
    "group": (200, 404),
    "group/token": (405, 405),
    "group/token/rotate": (403, 404),
    "chat": (200, 404),
    "chat/list": (200, 404),
    "chat/import": (200, 404),
    "chat/bin": (200, 404),
    "stop": (403, 404),
    "start": (405, 405),
    "restart": (403, 404),
    "instances/chat-a-0/restart": (403, 404),
    "scale": (403, 404),
    "release": (403, 404),
    "delete": (403, 404),
}
#: What changes something, by POST.
POSTS = (
    "edit", "versions/1/switch", "token", "token/rotate", "stop", "start", "restart", "instances/chat-a-0/restart",
    "scale", "release", "delete", "group/token", "group/token/rotate",
)  # fmt: skip
#: Method and status for a viewer and a stranger, for every REST path of a service.
REST: dict[tuple[str, str], tuple[int, int]] = {
    ("GET", ""): (200, 404),
    ("PUT", ""): (403, 404),
    ("DELETE", ""): (403, 404),
    ("PUT", "start"): (403, 404),
    ("PUT", "stop"): (403, 404),
    ("PUT", "restart"): (403, 404),
    ("PUT", "scale"): (403, 404),
    ("PUT", "release"): (403, 404),
    ("POST", "token"): (403, 404),
    ("GET", "endpoints"): (200, 404),
    ("GET", "versions"): (200, 404),
    ("GET", "versions/1"): (403, 404),
    ("PUT", "version"): (403, 404),
    ("GET", "instances"): (200, 404),
    ("DELETE", "instances"): (403, 404),
    ("GET", "instances/chat-a-0"): (200, 404),
    ("GET", "logs"): (403, 404),
    ("GET", "events"): (200, 404),
    ("GET", "usual-times"): (200, 404),
}
GROUP_TOKEN = "group-token-abcdefghijkl"
SECRETS = (TOKEN, GROUP_TOKEN, "pesto-genovese", "line-of-the-log")


@pytest.fixture
def service(make_service: ServiceMaker) -> Service:
    row = make_service("chat_a")
    group = ServiceGroup.objects.create(name="team", workspace=row.workspace, token_encrypted=encrypt(GROUP_TOKEN))
    Service.objects.filter(pk=row.pk).update(group=group)
    ServiceEvent.objects.create(
        service=row, code="Ended", message="It ended.", log_tail="line-of-the-log", type="Warning"
    )
    return row


def patterns(entries: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterable[str]:
    for entry in entries:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, path)
        else:
            yield path


def fill(path: str) -> str:
    """A pattern with something that is there in each place."""
    values = {"name": "chat_a", "cluster": "local", "number": "1", "instance": "chat-a-0"}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values.get(match[1], match[0]), path)


@pytest.mark.parametrize("prefix", ["services/<str:name>", "api/v2/services/<str:cluster>/<str:name>"])
def test_no_address_of_a_service_is_missing_from_the_tables(prefix: str) -> None:
    found = {path for path in patterns(get_resolver().url_patterns) if path == prefix or path.startswith(f"{prefix}/")}
    known = {path for _, path in REST} if prefix.startswith("api") else set(PAGES)
    # A person's conversations and a log's lines are looked at with the page they belong to.
    parts = re.compile(r"/(chat/.*|logs/.+)$")
    tail = {fill(path).removeprefix(fill(prefix)).strip("/") for path in found if not parts.search(path)}
    assert not tail - known - {"chat/list", "chat/import", "chat/bin"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_answers_a_viewer_and_a_stranger_as_it_should(
    page: str, service: Service, owner: Client, viewer: Client, stranger: Client
) -> None:
    path = f"/services/chat_a/{page}".rstrip("/")
    answers = [client.get(path) for client in (viewer, stranger)]
    assert tuple(answer.status_code for answer in answers) == PAGES[page]
    for answer in answers:
        assert not [secret for secret in SECRETS if secret in answer.content.decode()]
    if answers[0].status_code == 403:
        assert "olga" in answers[0].content.decode()


@pytest.mark.parametrize("page", POSTS)
def test_nobody_but_operators_and_owners_changes_a_service(
    page: str, service: Service, owner: Client, viewer: Client, stranger: Client
) -> None:
    def shown() -> tuple[object, ...]:
        row = Service.objects.select_related("group").get(pk=service.pk)
        assert row.group is not None
        return row.generation, row.desired, row.token_encrypted, row.group.token_encrypted, row.traffic_state

    before = shown()
    given = {
        "typed_name": "team" if page.startswith("group") else "chat_a",
        "instances": "3",
        "traffic_state": "grouping",
        "traffic_mode": "auto",
        "weight": "1",
    }
    statuses = [client.post(f"/services/chat_a/{page}", given).status_code for client in (viewer, stranger)]
    assert statuses == [403, 404]
    assert shown() == before


@pytest.mark.parametrize(("method", "path"), REST)
def test_a_rest_path_answers_a_viewer_and_a_stranger_as_it_should(
    method: str, path: str, service: Service, owner: Client, viewer: Client, stranger: Client
) -> None:
    def ask(client: Client) -> Any:
        body = '{"Instances": 3, "Version": 1}'
        address = f"/api/v2/services/local/chat_a/{path}".rstrip("/")
        return client.generic(method, address, body, content_type="application/json")

    answers = [ask(client) for client in (viewer, stranger)]
    assert tuple(answer.status_code for answer in answers) == REST[method, path]
    for answer in answers:
        assert not [secret for secret in SECRETS if secret in answer.content.decode()]


def test_a_viewer_deploys_nothing_and_sees_no_keys_but_their_own(
    service: Service, owner: Client, viewer: Client
) -> None:
    for path in ("/deploy/llm", "/deploy/custom"):
        assert viewer.get(path).status_code == 403
        assert viewer.post(path, {"service_name": "mine"}).status_code == 403
    assert "chat_a" not in viewer.get("/keys").content.decode()
    assert viewer.post("/deploy/bundled").status_code in (403, 409)
    assert Service.objects.count() == 1


def test_rights_count_from_the_next_request_on(service: Service, owner: Client, viewer: Client) -> None:
    number = User.objects.get(username="vera").pk
    steps = (("operator", 200), ("viewer", 403), ("owner", 200))
    for role, status in steps:
        owner.post(f"/workspaces/harbour/members/{number}/role", {"role": role})
        assert viewer.get("/services/chat_a/logs").status_code == status
    owner.post(f"/workspaces/harbour/members/{number}/remove")
    assert viewer.get("/services/chat_a").status_code == 404
