"""Password, appearance, audit, and the pages for errors."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments.audit import record_audit
from deployments.models import AuditEntry, Preferences, SignIn, Workspace
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


def test_pages_without_a_person_look_as_the_last_one_wants_and_believe_no_cookie(owner: Client) -> None:
    owner.post("/settings/appearance", {"theme": "dark", "density": "compact"})
    assert 'data-theme="dark"' in owner.get("/no-such-page").content.decode()
    owner.cookies["slipway_theme"] = '"><script>'
    assert "data-theme" not in owner.get("/no-such-page").content.decode()


def test_preferences_are_the_person_s_in_every_browser(owner: Client) -> None:
    owner.post("/settings/appearance", {"theme": "light", "chat_sends_with_ctrl": "on"})
    other = Client()
    other.force_login(User.objects.get(username="olga"))
    page = other.get("/").content.decode()
    assert 'data-theme="light"' in page
    assert "data-no-single-keys" in page
    kept = Preferences.objects.get(user__username="olga")
    assert (kept.single_keys, kept.chat_follows_always, kept.chat_sends_with_ctrl) == (False, False, True)


def test_switches_of_dialogs_are_kept_alone(owner: Client) -> None:
    owner.post("/settings/appearance", {"theme": "dark", "single_keys": "on"})
    script = {"HX-Request": "true"}
    assert owner.post("/settings/shortcuts", {}, headers=script).status_code == 204
    assert owner.post("/settings/chat", {"chat_follows_always": "on"}, headers=script).status_code == 204
    kept = Preferences.objects.get(user__username="olga")
    assert (kept.theme, kept.single_keys, kept.chat_follows_always) == ("dark", False, True)


def test_a_profile_is_changed_and_audited(owner: Client) -> None:
    given = {"display_name": "  Olga   Ruiz ", "email": "olga@example.org"}
    assert owner.post("/settings/profile", given).status_code == 302
    person = User.objects.get(username="olga")
    assert (person.first_name, person.email) == ("Olga Ruiz", "olga@example.org")
    entry = AuditEntry.objects.get(action="user.change_profile")
    assert entry.after == {"name": "Olga Ruiz", "email": "olga@example.org"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"display_name": "x" * 151}, "DisplayName"),
        ({"display_name": "a\x00b"}, "DisplayName"),
        ({"email": "no address"}, "Email"),
        ({"email": f"{'x' * 250}@example.org"}, "Email"),
    ],
)
def test_a_wrong_profile_is_refused_at_its_field(owner: Client, given: dict[str, str], field: str) -> None:
    answer = owner.post("/settings/profile", given)
    assert answer.status_code == 422
    assert list(answer.context["errors"]) == [field]
    assert User.objects.get(username="olga").email == ""


def signed_in_browser(agent: str) -> Client:
    browser = Client(headers={"User-Agent": agent})
    answer = browser.post("/sign-in", {"username": "olga", "password": OLD})
    assert answer.status_code == 302
    return browser


def test_other_browsers_are_listed_and_signed_out(workspace: Workspace, owner: Client) -> None:
    here = signed_in_browser("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
    there = signed_in_browser("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Version/17.0 Safari/604.1")
    third = signed_in_browser("curl/8")
    words = [one["words"] for one in here.get("/settings/security").context["browsers"]]
    assert words[0] == "Firefox, Linux"
    assert {"Safari, iPhone", ""} < set(words)
    phone = SignIn.objects.get(user_agent__contains="iPhone")
    here.post("/settings/security/sign-out-others", {"browser": phone.pk})
    assert [one.get("/").status_code for one in (here, there, third)] == [200, 302, 200]
    here.post("/settings/security/sign-out-others")
    assert [one.get("/").status_code for one in (here, third)] == [200, 302]
    assert len(here.get("/settings/security").context["browsers"]) == 1


def test_nobody_signs_another_person_out(owner: Client, operator: Client) -> None:
    browser = signed_in_browser("curl/8")
    row = SignIn.objects.get(user__username="olga")
    operator.post("/settings/security/sign-out-others", {"browser": row.pk})
    operator.post("/settings/security/sign-out-others")
    assert browser.get("/").status_code == 200


def targets(client: Client, query: str = "") -> list[str]:
    return [entry.target for entry in client.get(f"/settings/audit?{query}").context["page"]]


def test_owners_read_their_workspace_s_audit_and_others_their_own_acts(
    owner: Client, operator: Client, stranger: Client, workspace: Workspace
) -> None:
    olga, oskar = User.objects.get(username="olga"), User.objects.get(username="oskar")
    record_audit(olga, "service.stop", "chat_a", workspace, {"desired": "running"})
    record_audit(oskar, "service.start", "chat_b", workspace)
    assert targets(owner) == ["chat_b", "chat_a"]
    assert targets(operator) == ["chat_b"]
    assert targets(stranger) == []


def test_the_audit_s_address_holds_its_filters(owner: Client, operator: Client, workspace: Workspace) -> None:
    olga, oskar = User.objects.get(username="olga"), User.objects.get(username="oskar")
    record_audit(olga, "service.stop", "chat_a", workspace)
    record_audit(oskar, "service.start", "chat_b", workspace)
    AuditEntry.objects.filter(target="chat_a").update(created_at="2026-01-31T23:59:00Z")
    assert targets(owner, "actor=osk") == ["chat_b"]
    assert targets(owner, "action=service.stop") == ["chat_a"]
    assert targets(owner, "target=_b") == ["chat_b"]
    assert targets(owner, "workspace=harbour&since=2026-01-31&until=2026-01-31") == ["chat_a"]
    assert targets(owner, "since=2026-02-01") == ["chat_b"]
    assert targets(owner, "workspace=elsewhere") == []
    assert targets(owner, "actor=%00&page=9999999") == ["chat_b", "chat_a"]


@pytest.mark.parametrize("query", ["since=yesterday", "until=2026-13-01", "since=2026-02-30", "since=0001-01-01",
                                   "since=2026-02-02&until=2026-02-01"])  # fmt: skip
def test_a_wrong_day_is_said(owner: Client, query: str) -> None:
    assert owner.get(f"/settings/audit?{query}").context["error"]


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
