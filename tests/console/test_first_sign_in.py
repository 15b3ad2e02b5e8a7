"""One-time passwords: they let in only to set a password of one's own, once, and not for ever."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from deployments.models import AuditEntry, OneTimePassword, SignIn
from deployments.people import create_person, deactivate, reactivate, reset_password

pytestmark = pytest.mark.django_db
OWN = "quite-another-one-7"


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("root", password="the-root-of-it-all")


@pytest.fixture
def made(administrator: User) -> tuple[User, str]:
    person, secret, _ = create_person(administrator, "nora")
    return person, secret


def sign_in(client: Client, password: str, there: str = "/") -> HttpResponse:
    answer: HttpResponse = client.post("/sign-in", {"username": "nora", "password": password, "next": there})  # type: ignore[assignment]
    return answer


def rest(password: str) -> tuple[int, str]:
    pair = base64.b64encode(f"nora:{password}".encode()).decode()
    answer = Client().get("/api/v2/me", headers={"Authorization": f"Basic {pair}"})
    return answer.status_code, answer.json().get("Code", "")


def test_the_first_sign_in_sets_a_password_before_anything_else(client: Client, made: tuple[User, str]) -> None:
    answer = sign_in(client, made[1], "/keys")
    assert answer["Location"] == "/sign-in/new-password"
    assert client.get("/").status_code == 302  # not signed in yet
    assert client.get("/api/v2/me").status_code == 401
    answer = client.post("/sign-in/new-password", {"new_password": OWN})  # type: ignore[assignment]
    assert answer["Location"] == "/keys"
    assert client.get("/").status_code == 200
    assert SignIn.objects.get().user.username == "nora"
    assert rest(OWN)[0] == 200
    assert sign_in(Client(), made[1]).status_code == 422
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["user.set_password", "user.create"]


def test_rest_refuses_a_one_time_password_with_its_own_code(made: tuple[User, str]) -> None:
    assert rest(made[1]) == (403, "PasswordChangeRequired")
    assert rest(made[1]) == (403, "PasswordChangeRequired")
    OneTimePassword.objects.update(expires_at=timezone.now())
    assert rest(made[1]) == (403, "OneTimePasswordExpired")
    assert rest("wrong") == (401, "Unauthorized")


@pytest.mark.parametrize("weak", ["", "short", "12345678901", "password", "nora", "own"])
def test_a_weak_password_is_refused_with_the_rule(client: Client, made: tuple[User, str], weak: str) -> None:
    sign_in(client, made[1])
    answer = client.post("/sign-in/new-password", {"new_password": weak})
    assert answer.status_code == 422
    assert answer.context["errors"]
    assert OneTimePassword.objects.exists()


def test_the_one_time_password_itself_is_not_kept(client: Client, made: tuple[User, str]) -> None:
    sign_in(client, made[1])
    assert client.post("/sign-in/new-password", {"new_password": made[1]}).status_code == 422


def test_an_expired_one_says_whom_to_ask(client: Client, made: tuple[User, str]) -> None:
    OneTimePassword.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = client.post("/sign-in", {"username": "nora", "password": made[1]})
    assert answer.status_code == 422
    assert "administrator" in answer.context["error"]


def test_one_that_expires_while_the_page_is_open_sets_nothing(client: Client, made: tuple[User, str]) -> None:
    sign_in(client, made[1])
    OneTimePassword.objects.update(expires_at=timezone.now())
    assert client.post("/sign-in/new-password", {"new_password": OWN}).status_code == 409
    assert not User.objects.get(username="nora").check_password(OWN)


def test_two_pages_set_one_password(client: Client, made: tuple[User, str]) -> None:
    other = Client()
    for one in (client, other):
        sign_in(one, made[1])
    assert client.post("/sign-in/new-password", {"new_password": OWN})["Location"] == "/"
    assert other.post("/sign-in/new-password", {"new_password": "a-third-one-88"})["Location"] == "/sign-in"
    assert User.objects.get(username="nora").check_password(OWN)


def test_nobody_comes_to_the_page_without_the_one_time_password(client: Client, made: tuple[User, str]) -> None:
    assert client.get("/sign-in/new-password")["Location"] == "/sign-in"
    assert client.post("/sign-in/new-password", {"new_password": OWN})["Location"] == "/sign-in"
    assert not User.objects.get(username="nora").check_password(OWN)


def test_in_the_dialog_over_a_page_the_way_is_told(client: Client, made: tuple[User, str]) -> None:
    answer = client.post("/sign-in", {"username": "nora", "password": made[1]}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert "one-time" in answer.content.decode()


def test_a_reset_ends_sessions_and_an_older_page_for_it(
    client: Client, administrator: User, made: tuple[User, str]
) -> None:
    sign_in(client, made[1])
    client.post("/sign-in/new-password", {"new_password": OWN})
    secret, _ = reset_password(administrator, made[0])
    assert client.get("/").status_code == 302
    assert rest(OWN) == (401, "Unauthorized")
    waiting = Client()
    assert sign_in(waiting, secret)["Location"] == "/sign-in/new-password"
    again, _ = reset_password(administrator, made[0])
    assert waiting.post("/sign-in/new-password", {"new_password": OWN})["Location"] == "/sign-in"
    assert sign_in(waiting, again)["Location"] == "/sign-in/new-password"


def test_an_account_that_is_switched_off_signs_in_nowhere(
    client: Client, administrator: User, made: tuple[User, str]
) -> None:
    sign_in(client, made[1])
    deactivate(administrator, made[0])
    assert client.post("/sign-in/new-password", {"new_password": OWN})["Location"] == "/sign-in"
    assert sign_in(Client(), made[1]).status_code == 422
    assert rest(made[1])[0] == 401
    secret, _ = reactivate(administrator, made[0])
    assert sign_in(Client(), secret)["Location"] == "/sign-in/new-password"
