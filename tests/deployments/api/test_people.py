"""People over REST: created, reset, switched off and on by administrators alone."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments.access_keys import issue_access_key
from deployments.accounts import find_user_by_token, issue_personal_token
from deployments.models import AccessKey, AuditEntry, Membership, OneTimePassword, Role, Service, Workspace
from tests.deployments.api.conftest import PASSWORD, Api
from tests.signing import acs3_headers

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(db: None) -> Api:
    return Api(User.objects.create_superuser("root", password=PASSWORD))


def basic_status(name: str, password: str) -> tuple[int, str]:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    answer = Client().get("/api/v2/me", headers={"Authorization": f"Basic {pair}"})
    return answer.status_code, answer.json().get("Code", "")


def test_an_administrator_creates_a_person_whose_password_is_shown_once(admin: Api) -> None:
    status, made = admin.post("people", {"UserName": "nora", "DisplayName": "Nora Ek", "Email": "nora@example.org"})
    assert status == 201
    assert basic_status("nora", made["OneTimePassword"]) == (403, "PasswordChangeRequired")
    assert made["OneTimePasswordUntil"]
    listed = admin.get("people")[1]
    assert [one["UserName"] for one in listed["People"]] == ["nora", "root"]
    assert made["OneTimePassword"] not in str(listed)
    assert made["OneTimePassword"] not in str(list(AuditEntry.objects.values()))
    assert admin.get("people", Filter="or")[1]["TotalCount"] == 1
    assert admin.get("people/nora")[1]["DisplayName"] == "Nora Ek"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "UserName"),
        ({"UserName": ""}, "UserName"),
        ({"UserName": "two words"}, "UserName"),
        ({"UserName": "a:b"}, "UserName"),
        ({"UserName": "x" * 151}, "UserName"),
        ({"UserName": "a\0"}, "UserName"),
        ({"UserName": "../x"}, "UserName"),
        ({"UserName": "nora", "Email": "nowhere"}, "Email"),
        ({"UserName": "nora", "DisplayName": 5}, "DisplayName"),
        ({"UserName": "nora", "Administrator": "yes"}, "Administrator"),
    ],
)
def test_a_wrong_person_is_400_and_names_the_field(admin: Api, body: object, field: str) -> None:
    status, answer = admin.post("people", body)
    assert (status, answer["Errors"][0]["Field"]) == (400, field)
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["root", "ROOT"])
def test_a_name_is_taken_whatever_its_case(admin: Api, name: str) -> None:
    status, answer = admin.post("people", {"UserName": name})
    assert (status, answer["Code"]) == (409, "name_taken")


CALLS = [
    ("GET", "people", None),
    ("POST", "people", {"UserName": "x"}),
    ("GET", "people/olga", None),
    ("PUT", "people/olga", {"Administrator": True}),
    ("POST", "people/olga/password", None),
    ("PUT", "people/olga/deactivate", None),
    ("PUT", "people/olga/activate", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_others_are_told_who_the_administrators_are(
    admin: Api, owner: Api, stranger: Api, method: str, path: str, body: object
) -> None:
    for person in (owner, stranger):
        status, answer = person.request(method, path, body)
        assert (status, answer["Code"]) == (403, "Forbidden")
        assert "root" in answer["Message"]
    assert not User.objects.filter(username="x").exists()
    assert User.objects.filter(username="olga", is_active=True, is_superuser=False).exists()


@pytest.mark.parametrize(("method", "path", "body"), CALLS[2:])
def test_nobody_of_that_name_is_404(admin: Api, method: str, path: str, body: object) -> None:
    status, answer = admin.request(method, path.replace("olga", "nobody%00"), body)
    assert (status, answer["Code"]) == (404, "PersonNotFound")


def test_a_reset_password_ends_the_old_one(admin: Api, owner: Api) -> None:
    assert owner.get("me")[0] == 200
    status, answer = admin.post("people/olga/password")
    assert status == 200
    assert owner.get("me")[0] == 401
    assert basic_status("olga", answer["OneTimePassword"]) == (403, "PasswordChangeRequired")


def test_who_is_switched_off_is_out_at_once_and_their_services_stay(admin: Api, owner: Api, service: Service) -> None:
    assert owner.user is not None
    _, token = issue_personal_token(owner.user, "ci")
    key, secret = issue_access_key(owner.user, "sdk")
    page = Client()
    page.force_login(owner.user)
    assert (owner.get("me")[0], page.get("/keys").status_code) == (200, 200)
    assert admin.put("people/olga/deactivate")[0] == 200
    assert admin.put("people/olga/deactivate")[0] == 200
    assert (owner.get("me")[0], page.get("/keys").status_code) == (401, 302)
    assert find_user_by_token(token) is None
    signed = acs3_headers((key.key_id, secret), "GET", "/api/v2/me")
    assert Client().get("/api/v2/me", headers=signed).status_code == 401
    assert Service.objects.get().created_by == owner.user
    status, answer = admin.put("people/olga/activate")
    assert status == 200
    assert basic_status("olga", answer["OneTimePassword"]) == (403, "PasswordChangeRequired")
    assert find_user_by_token(token) is None
    assert not AccessKey.objects.filter(revoked_at=None).exists()
    assert admin.put("people/olga/activate")[1]["Code"] == "person_active"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "people/root", {"Administrator": False}),
        ("POST", "people/root/password", None),
        ("PUT", "people/root/deactivate", None),
    ],
)
def test_administrators_do_not_lock_themselves_out(admin: Api, method: str, path: str, body: object) -> None:
    status, answer = admin.request(method, path, body)
    assert (status, answer["Code"]) == (409, "own_account")
    assert admin.get("people")[0] == 200
    assert not OneTimePassword.objects.exists()


def test_another_administrator_is_made_and_unmade(admin: Api, owner: Api) -> None:
    assert admin.put("people/olga", {"Administrator": True})[1]["Administrator"]
    assert owner.get("people")[0] == 200
    assert owner.put("people/root", {"Administrator": False})[0] == 200
    assert admin.get("people")[0] == 403
    assert [one.action for one in AuditEntry.objects.all()] == ["user.change_administrator"] * 2


Member = Callable[[str, Role | None], Api]


def test_who_asks_is_told_of_owners_who_can_sign_in(admin: Api, owner: Api, viewer: Api, service: Service) -> None:
    admin.put("people/olga/deactivate")
    message = viewer.put("services/local/chat/stop")[1]["Message"]
    assert "olga" not in message
    assert "root" in message


def test_the_audit_of_a_deleted_workspace_stays_with_administrators(admin: Api, owner: Api) -> None:
    owner.post("workspaces", {"WorkspaceName": "Short lived"})
    assert owner.delete("workspaces/short-lived")[0] == 200
    assert not Workspace.objects.filter(slug="short-lived").exists()
    actions = [one["Action"] for one in admin.get("audit", Target="short-lived")[1]["Entries"]]
    assert actions == ["workspace.delete", "workspace.create"]
    assert Membership.objects.filter(user__username="olga").count() == 1
