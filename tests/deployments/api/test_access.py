"""Who gets in, as whom, and what they are told when they may not."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from deployments.accounts import find_user_by_password, issue_personal_token
from deployments.models import AuditEntry, PersonalToken, Service, ServiceEvent
from deployments.throttle import TRIES_A_NAME_AND_ADDRESS, TRIES_AN_ADDRESS
from tests.deployments.api.conftest import PASSWORD, Api

pytestmark = pytest.mark.django_db


def test_without_credentials_it_is_401_and_basic_is_asked_for(db: None) -> None:
    response = Client().get("/api/v2/services")
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Basic ")
    assert json.loads(response.content)["Code"] == "Unauthorized"


def test_a_page_s_fetch_is_not_answered_with_the_browser_s_own_dialog(db: None) -> None:
    response = Client().get("/api/v2/services", headers={"Sec-Fetch-Mode": "cors"})
    assert response.status_code == 401
    assert not response["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"olga").decode(),
        "Basic " + base64.b64encode(b"olga:wrong").decode(),
        "Basic " + base64.b64encode(b"ol\0ga:x").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Bearer slp_nothing",
        "slp_nothing",
        "Bearer something",
        "Digest x",
    ],
)
def test_wrong_credentials_are_401(owner: Api, authorization: str) -> None:
    response = Client().get("/api/v2/me", headers={"Authorization": authorization})
    assert response.status_code == 401
    assert json.loads(response.content)["Code"] == "Unauthorized"


@pytest.mark.usefixtures("long_window")
def test_guessing_passwords_is_throttled_and_a_personal_token_still_works(owner: Api) -> None:
    assert owner.user is not None
    wrong = {"Authorization": "Basic " + base64.b64encode(b"olga:wrong").decode()}
    answers = [Client().get("/api/v2/me", headers=wrong) for _ in range(TRIES_A_NAME_AND_ADDRESS + 1)]
    assert [answer.status_code for answer in answers] == [401] * TRIES_A_NAME_AND_ADDRESS + [429]
    assert int(answers[-1]["Retry-After"]) > 0
    assert json.loads(answers[-1].content)["Code"] == "Throttling"
    _, secret = issue_personal_token(owner.user, "program")
    assert Client().get("/api/v2/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def test_right_passwords_never_throttle(owner: Api) -> None:
    assert owner.user is not None
    for number in range(TRIES_AN_ADDRESS + 5):
        owner.user.set_password(f"{PASSWORD}-{number}")  # a pair that nobody remembers as right
        owner.user.save()
        pair = base64.b64encode(f"{owner.user.username}:{PASSWORD}-{number}".encode()).decode()
        assert Client().get("/api/v2/me", headers={"Authorization": f"Basic {pair}"}).status_code == 200


def test_a_wrong_header_is_not_made_good_by_a_session(owner: Api) -> None:
    client = Client()
    assert owner.user is not None
    client.force_login(owner.user)
    assert client.get("/api/v2/me", headers={"Authorization": "Bearer slp_x"}).status_code == 401


@pytest.mark.parametrize("shape", ["Bearer {}", "bearer {}", "{}"])
def test_a_personal_token_signs_in(owner: Api, shape: str) -> None:
    assert owner.user is not None
    _, secret = issue_personal_token(owner.user, "laptop")
    response = Client().get("/api/v2/me", headers={"Authorization": shape.format(secret)})
    assert response.json()["UserName"] == "olga"


def test_a_personal_token_works_as_a_basic_password(owner: Api) -> None:
    assert owner.user is not None
    _, secret = issue_personal_token(owner.user, "laptop")
    pair = base64.b64encode(f"olga:{secret}".encode()).decode()
    assert Client().get("/api/v2/me", headers={"Authorization": f"Basic {pair}"}).status_code == 200


def test_an_expired_token_is_401(owner: Api) -> None:
    assert owner.user is not None
    _, secret = issue_personal_token(owner.user, "old", timezone.now() - timedelta(seconds=1))
    assert Client().get("/api/v2/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_a_session_may_read_and_changes_only_with_its_csrf_token(owner: Api, service: Service) -> None:
    client = Client(enforce_csrf_checks=True)
    assert owner.user is not None
    client.force_login(owner.user)
    assert client.get("/api/v2/services").status_code == 200
    path = "/api/v2/services/local/chat/stop"
    refused = client.put(path)
    assert refused.status_code == 403
    assert refused.json()["Code"] == "Forbidden"
    client.get("/sign-in")
    token = "a" * 32
    client.cookies["slipway_csrf"] = token
    assert client.put(path, headers={"X-CSRFToken": token}).status_code == 200


def test_strangers_see_neither_the_service_nor_that_it_exists(stranger: Api, service: Service) -> None:
    known = stranger.get("services/local/chat")
    unknown = stranger.get("services/local/nothing_here")
    assert known[0] == unknown[0] == 404
    assert known[1]["Message"] == unknown[1]["Message"]
    assert stranger.get("services")[1]["Services"] == []


PARTS = ("", "/versions", "/versions/1", "/instances", "/instances/x", "/logs", "/events", "/endpoints")


@pytest.mark.parametrize("part", PARTS)
def test_strangers_get_404_for_every_part(stranger: Api, service: Service, part: str) -> None:
    assert stranger.get(f"services/local/chat{part}")[0] == 404


CHANGES = [
    ("PUT", "", {"metadata": {"instance": 2}}),
    ("DELETE", "", None),
    ("PUT", "/start", None),
    ("PUT", "/stop", None),
    ("PUT", "/restart", None),
    ("PUT", "/scale", {"Instances": 2}),
    ("PUT", "/version", {"Version": 1}),
    ("POST", "/token", None),
]


@pytest.mark.parametrize(("method", "part", "body"), CHANGES)
def test_viewers_get_403_naming_the_owners_and_strangers_404(
    viewer: Api, stranger: Api, service: Service, method: str, part: str, body: object
) -> None:
    status, answer = viewer.request(method, f"services/local/chat{part}", body)
    assert (status, answer["Code"]) == (403, "Forbidden")
    assert "olga" in answer["Message"]
    assert stranger.request(method, f"services/local/chat{part}", body)[0] == 404
    service.refresh_from_db()
    assert service.generation == 1


@pytest.mark.parametrize("part", ["/logs", "/versions/1"])
def test_logs_and_documents_are_not_for_viewers(owner: Api, viewer: Api, service: Service, part: str) -> None:
    assert owner.get(f"services/local/chat{part}")[0] == 200
    status, answer = viewer.get(f"services/local/chat{part}")
    assert (status, answer["Code"]) == (403, "Forbidden")


def test_viewers_see_neither_the_environment_nor_lines_of_the_log(
    owner: Api, operator: Api, viewer: Api, service: Service
) -> None:
    ServiceEvent.objects.create(service=service, code="CrashLoopBackOff", message="It ended.", log_tail="secret\nline")
    told = []
    for person in (owner, operator, viewer):
        described = person.get("services/local/chat")[1]["ServiceConfig"]
        assert person.get("services")[1]["Services"][0]["ServiceConfig"] == described
        events = person.get("services/local/chat/events")[1]["Events"]
        told.append((bool(described), events[0]["LogTail"]))
    assert told == [(True, ["secret", "line"]), (True, ["secret", "line"]), (False, [])]


def test_viewers_create_nothing_and_are_told_whom_to_ask(viewer: Api, workspace: object) -> None:
    document = {"metadata": {"name": "mine"}, "containers": [{"image": "tools:1", "script": "sleep 1"}]}
    assert viewer.post("services", document)[0] == 403
    status, answer = viewer.post("services", document, WorkspaceId="red")
    assert status == 403
    assert "olga" in answer["Message"]
    assert not Service.objects.exists()


def test_the_service_token_is_for_those_who_may_change_it(
    owner: Api, operator: Api, viewer: Api, service: Service
) -> None:
    tokens = [person.get("services/local/chat")[1]["AccessToken"] for person in (owner, operator, viewer)]
    assert tokens[0] == tokens[1] != ""
    assert tokens[2] == ""
    assert viewer.get("services/local/chat/endpoints")[1]["AccessToken"] == ""
    assert owner.get("services/local/chat/endpoints")[1]["AccessToken"] == tokens[0]
    assert [one["AccessToken"] for one in owner.get("services")[1]["Services"]] == [""]


def test_a_token_s_secret_is_shown_once_and_works_until_it_is_deleted(owner: Api) -> None:
    status, made = owner.post("tokens", {"Name": "ci", "ExpiresInDays": 7})
    assert status == 201
    headers = {"Authorization": f"Bearer {made['Token']}"}
    assert Client().get("/api/v2/me", headers=headers).status_code == 200
    listed = owner.get("tokens")[1]["Tokens"]
    assert [one["Name"] for one in listed] == ["ci"]
    assert made["Token"] not in json.dumps(listed)
    assert owner.delete(f"tokens/{made['TokenId']}")[0] == 200
    assert Client().get("/api/v2/me", headers=headers).status_code == 401
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["token.delete", "token.create"]


@pytest.mark.parametrize("body", [{}, {"Name": ""}, {"Name": "a\nb"}, {"Name": "x" * 121}, {"Name": 5},
                                  {"Name": "\ud800"}, {"Name": "ok", "ExpiresInDays": 0},
                                  {"Name": "ok", "ExpiresInDays": 10**30},
                                  {"Name": "ok", "ExpiresInDays": True}])  # fmt: skip
def test_a_wrong_token_request_is_400(owner: Api, body: object) -> None:
    status, answer = owner.post("tokens", body)
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert answer["Errors"][0]["Field"] in {"Name", "ExpiresInDays"}


@pytest.mark.parametrize("token_id", ["0", "-1", "x", "9" * 40, "%00", "²"])
def test_a_token_that_is_not_mine_is_404(owner: Api, operator: Api, token_id: str) -> None:
    assert owner.delete(f"tokens/{token_id}")[0] == 404
    operator.post("tokens", {"Name": "theirs"})
    theirs = PersonalToken.objects.get()
    assert owner.delete(f"tokens/{theirs.pk}")[0] == 404
    assert PersonalToken.objects.exists()


def test_me_says_who_and_where(owner: Api, viewer: Api) -> None:
    answer = viewer.get("me")[1]
    assert answer["UserName"] == "vera"
    assert not answer["Administrator"]
    assert [(one["WorkspaceId"], one["Role"]) for one in answer["Workspaces"]] == [("red", "viewer")]
    assert viewer.get("workspaces")[1]["TotalCount"] == 1


def test_the_audit_trail_shows_owners_their_workspace_and_others_their_own_acts(
    owner: Api, operator: Api, stranger: Api, service: Service
) -> None:
    operator.put("services/local/chat/stop")
    status, answer = owner.get("audit")
    assert status == 200
    assert [(one["Actor"], one["Action"]) for one in answer["Entries"]] == [
        ("oscar", "service.stop"),
        ("olga", "service.create"),
    ]
    assert owner.get("audit", Action="service.stop")[1]["TotalCount"] == 1
    assert [one["Action"] for one in operator.get("audit")[1]["Entries"]] == ["service.stop"]
    assert stranger.get("audit")[1]["Entries"] == []


def test_an_administrator_sees_every_workspace(service: Service) -> None:
    admin = Api(User.objects.create_superuser("root", password=PASSWORD))
    assert admin.get("services/local/chat")[1]["AccessToken"]
    assert admin.get("audit")[1]["TotalCount"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_program_that_asks_many_things_at_once_is_let_in_with_each(settings: Any) -> None:
    """Checking a password takes long enough that all of them would count as tries together."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    User.objects.create_user("olga", password="a-long-pass-phrase")
    ready = threading.Barrier(20)

    def ask() -> bool:
        try:
            ready.wait(10)
            return find_user_by_password("olga", "a-long-pass-phrase", "192.0.2.7") is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        asking = [pool.submit(ask) for _ in range(20)]
        assert all(future.result(timeout=60) for future in asking)
