"""Signing in and out, and what a request without a session gets."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments.throttle import TRIES_A_NAME_AND_ADDRESS

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-one"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("admin", password=PASSWORD)


def test_a_right_password_opens_the_page_one_came_for(client: Client, user: User) -> None:
    answer = client.get("/services/chat?x=1")
    assert answer["Location"] == "/sign-in?next=%2Fservices%2Fchat%3Fx%3D1"
    answer = client.post("/sign-in", {"username": "admin", "password": PASSWORD, "next": "/services/chat?x=1"})
    assert answer["Location"] == "/services/chat?x=1"
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "there",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:///x", "/sign-in"],
)
def test_the_next_page_is_one_of_ours(client: Client, user: User, there: str) -> None:
    answer = client.post("/sign-in", {"username": "admin", "password": PASSWORD, "next": there})
    assert answer["Location"] == "/"


def test_a_wrong_name_and_a_wrong_password_get_one_message(client: Client, user: User) -> None:
    wrong_password = client.post("/sign-in", {"username": "admin", "password": "wrong"})
    wrong_name = client.post("/sign-in", {"username": "nobody", "password": "wrong"})
    assert (wrong_password.status_code, wrong_name.status_code) == (422, 422)
    assert wrong_password.context["error"] == wrong_name.context["error"]


@pytest.mark.usefixtures("long_window")
def test_too_many_tries_name_the_wait_and_refuse_even_the_right_password(client: Client, user: User) -> None:
    for _ in range(TRIES_A_NAME_AND_ADDRESS):
        client.post("/sign-in", {"username": "admin", "password": "wrong"})
    answer = client.post("/sign-in", {"username": "admin", "password": PASSWORD})
    assert answer.status_code == 429
    assert "second" in answer.context["error"]


def test_the_first_sign_in_page_says_where_the_password_was_printed(client: Client, user: User) -> None:
    assert "make run" in client.get("/sign-in").content.decode()
    client.post("/sign-in", {"username": "admin", "password": PASSWORD})
    assert "make run" not in Client().get("/sign-in").content.decode()


def test_signing_in_needs_the_csrf_token(user: User) -> None:
    answer = Client(enforce_csrf_checks=True).post("/sign-in", {"username": "admin", "password": PASSWORD})
    assert answer.status_code == 403


def test_signing_out_is_a_post_and_ends_the_session(client: Client, user: User) -> None:
    client.force_login(user)
    assert client.get("/sign-out").status_code == 405
    client.post("/sign-out")
    assert client.get("/").status_code == 302


def test_a_script_without_a_session_gets_the_form_and_not_a_redirect(client: Client, user: User) -> None:
    for header in ({"HX-Request": "true"}, {"X-Slipway-Live": "all"}):
        answer = client.get("/", headers=header)
        assert answer.status_code == 401
        assert 'name="password"' in answer.content.decode()


def test_signing_in_again_over_a_page_hands_out_the_new_csrf_token(client: Client, user: User) -> None:
    answer = client.post("/sign-in", {"username": "admin", "password": PASSWORD}, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert json.loads(answer["HX-Trigger"])["slipway:signed-in"]["csrf"]


def test_a_nul_in_the_name_is_a_wrong_name(client: Client, user: User) -> None:
    assert client.post("/sign-in", {"username": "ad\0min", "password": "x\0"}).status_code == 422


def test_a_tabs_dialog_learns_whether_another_tab_has_signed_in(client: Client, user: User) -> None:
    asked = {"X-Slipway-Live": "all"}
    assert "X-Slipway-Person" not in client.get("/sign-in", headers=asked)
    client.force_login(user)
    answer = client.get("/sign-in", headers=asked)
    assert (answer.status_code, answer["X-Slipway-Person"]) == (204, str(user.pk))


@pytest.mark.parametrize(
    ("sent_from", "there"),
    [
        ("http://testserver/people/new?x=1", "%2Fpeople%2Fnew%3Fx%3D1"),
        ("http://evil.example/people/new", "%2F"),
        ("", "%2F"),
    ],
)
def test_a_form_that_met_an_ended_session_leads_back_to_its_page(client: Client, sent_from: str, there: str) -> None:
    answer = client.post("/settings/security/sign-out-others", headers={"Referer": sent_from})
    assert answer["Location"] == f"/sign-in?next={there}"


def test_an_address_that_only_forms_are_sent_to_is_no_blank_page(client: Client, user: User) -> None:
    client.force_login(user)
    answer = client.get("/sign-out")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert "Go to Services" in answer.content.decode()
    assert client.head("/sign-out").status_code == 405
