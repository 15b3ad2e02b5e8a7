"""Password, appearance, audit, and the pages for errors."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments.audit import record_audit
from deployments.models import Workspace
from tests.console.conftest import ServiceMaker

OLD = "olga-has-a-secret"
NEW = "quite-another-one-7"


def test_changing_the_password_keeps_this_session_and_ends_the_others(owner: Client) -> None:
    other = Client()
    assert other.login(username="olga", password=OLD)
    assert owner.post("/settings/security", {"old_password": OLD, "new_password": NEW}).status_code == 302
    assert owner.get("/settings/security").status_code == 200
    assert other.get("/settings/security").status_code == 302
    assert User.objects.get(username="olga").check_password(NEW)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("wrong", NEW, "old_password"), (OLD, "short", "new_password"), (OLD, "12345678901", "new_password")],
)
def test_a_refused_password_names_the_rule(owner: Client, old: str, new: str, field: str) -> None:
    answer = owner.post("/settings/security", {"old_password": old, "new_password": new})
    assert answer.status_code == 422
    assert list(answer.context["errors"]) == [field]
    assert User.objects.get(username="olga").check_password(OLD)


def test_the_theme_is_in_the_first_byte_of_html(owner: Client) -> None:
    assert "data-theme" not in owner.get("/").content.decode()
    owner.post("/settings/appearance", {"theme": "dark", "density": "compact"})
    page = owner.get("/").content.decode()
    assert 'data-theme="dark"' in page
    assert 'data-density="compact"' in page
    owner.cookies["slipway_theme"] = '"><script>'
    assert "data-theme" not in owner.get("/").content.decode()


def test_owners_read_their_workspace_s_audit_and_nobody_else_does(
    owner: Client, operator: Client, stranger: Client, workspace: Workspace
) -> None:
    record_audit(User.objects.get(username="olga"), "service.stop", "chat_a", workspace, {"desired": "running"})
    assert "service.stop" in owner.get("/settings/audit").content.decode()
    assert "service.stop" not in owner.get("/settings/audit?q=other").content.decode()
    assert operator.get("/settings/audit").status_code == 404
    assert "service.stop" not in stranger.get("/settings/audit").content.decode()


def test_a_missing_page_says_so_with_a_way_back_and_a_request_id(owner: Client, make_service: ServiceMaker) -> None:
    answer = owner.get("/services/nothing_here")
    assert answer.status_code == 404
    assert answer["X-Request-Id"] in answer.content.decode()
    assert 'href="/"' in answer.content.decode()


@pytest.mark.parametrize("name", ["%00", "UPPER", "a" * 300, "..%2f", "%F0%9F%9A%A2"])
def test_odd_names_are_simply_not_there(owner: Client, name: str) -> None:
    assert owner.get(f"/services/{name}").status_code == 404


def test_pages_allow_no_inline_code_and_no_other_host(owner: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    for path in ("/", "/services/chat_a", "/services/chat_a/invocation", "/settings/security", "/settings/appearance"):
        answer = owner.get(path)
        page = answer.content.decode()
        assert "default-src 'self'" in answer["Content-Security-Policy"]
        assert "unsafe" not in answer["Content-Security-Policy"]
        for forbidden in (" style=", " onclick=", "hx-on", "<style", 'src="http', 'href="http', "js:"):
            assert forbidden not in page, (path, forbidden)
