"""People on pages, for administrators: made with a one-time password, reset, switched off and on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments.models import OneTimePassword


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def pk(name: str) -> int:
    return User.objects.get(username=name).pk


def test_a_person_is_made_and_the_one_time_password_shown_once(root: Client) -> None:
    answer = root.post("/people/new", {"name": "nora", "display_name": "Nora Ek", "email": "nora@example.org"})
    there = answer["Location"]
    answer = root.get(there)
    secret = answer.context["secret"]
    assert secret in answer.content.decode()
    assert answer["Cache-Control"] == "no-store, private"
    assert User.objects.get(username="nora").check_password(secret)
    for path in ("/people", f"/people/{pk('nora')}", "/settings/audit"):
        page = root.get(path).content.decode()
        assert "nora" in page
        assert secret not in page
    again = root.get(there, follow=True)
    assert again.redirect_chain == [(f"/people/{pk('nora')}", 302)]
    assert secret not in again.content.decode()


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"name": ""}, 422, "UserName"),
        ({"name": "two words"}, 422, "UserName"),
        ({"name": "a\x00"}, 422, "UserName"),
        ({"name": "Root"}, 409, "UserName"),
        ({"name": "nora", "email": "x"}, 422, "Email"),
        ({"name": "nora", "display_name": "x" * 151}, 422, "DisplayName"),
    ],
)
def test_a_wrong_person_is_refused_at_the_field_and_keeps_what_was_typed(
    root: Client, given: dict[str, str], status: int, field: str
) -> None:
    answer = root.post("/people/new", given)
    assert (answer.status_code, list(answer.context["errors"])) == (status, [field])
    assert User.objects.count() == 1


def test_others_are_told_who_the_administrators_are(root: Client, owner: Client) -> None:
    number = pk("root")
    for path in (
        "/people",
        "/people/new",
        f"/people/{number}",
        f"/people/{number}/password",
        f"/people/{number}/deactivate",
    ):
        answer = owner.get(path)
        assert (answer.status_code, "root" in answer.content.decode()) == (403, True)
    for path in (
        "/people/new",
        *(f"/people/{number}/{act}" for act in ("password", "deactivate", "activate", "administrator")),
    ):
        assert owner.post(path, {"name": "x", "typed_name": "root"}).status_code == 403
    assert User.objects.get(username="root").is_active
    assert not User.objects.filter(username="x").exists()


def test_a_reset_signs_out_and_shows_another_one_time_password(root: Client, owner: Client) -> None:
    path = f"/people/{pk('olga')}/password"
    assert "Reset the password of olga" in root.get(path).content.decode()
    answer = root.post(path, follow=True)
    assert answer.context["secret"] in answer.content.decode()
    assert owner.get("/").status_code == 302
    assert OneTimePassword.objects.get().user.username == "olga"


def test_an_account_is_switched_off_by_its_name_and_on_again(root: Client, owner: Client) -> None:
    path = f"/people/{pk('olga')}"
    assert "Harbour" in root.get(f"{path}/deactivate").content.decode()  # nobody else owns it
    assert root.post(f"{path}/deactivate", {"typed_name": "olg"}).status_code == 422
    assert owner.get("/").status_code == 200
    assert root.post(f"{path}/deactivate", {"typed_name": "olga"})["Location"] == path
    assert owner.get("/").status_code == 302
    assert "Switched off" in root.get(path).content.decode()
    answer = root.post(f"{path}/activate", follow=True)
    assert User.objects.get(username="olga").check_password(answer.context["secret"])
    assert root.post(f"{path}/activate").status_code == 302


def test_an_administrator_is_made_and_unmade_but_not_by_themselves(root: Client, owner: Client) -> None:
    root.post(f"/people/{pk('olga')}/administrator", {"administrator": "on"})
    assert owner.get("/people").status_code == 200
    root.post(f"/people/{pk('root')}/administrator", {})
    assert User.objects.get(username="root").is_superuser
    assert root.post(f"/people/{pk('root')}/deactivate", {"typed_name": "root"}).status_code == 409
    root.post(f"/people/{pk('olga')}/administrator", {})
    assert owner.get("/people").status_code == 403


@pytest.mark.parametrize("query", ["q=olg", "q=%00olg", "q=OLGA&page=77"])
def test_people_are_searched(root: Client, owner: Client, query: str) -> None:
    assert [one.username for one in root.get(f"/people?{query}").context["page"]] == ["olga"]


@pytest.mark.parametrize("number", [0, 10**30])
def test_numbers_of_nobody_are_404(root: Client, number: int) -> None:
    assert root.get(f"/people/{number}").status_code == 404
