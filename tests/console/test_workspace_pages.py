"""Workspaces and members on pages: who sees what, who may what, and what is said before and afterwards."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from deployments.models import Membership, Role, Workspace
from tests.console.conftest import ServiceMaker

SCRIPT = {"HX-Request": "true"}
PAGE = "/workspaces/harbour/members"


def person(name: str) -> User:
    return User.objects.get(username=name)


def role_of(name: str) -> str | None:
    return (
        Membership.objects.filter(user__username=name, workspace__slug="harbour").values_list("role", flat=True).first()
    )


@pytest.fixture
def nora(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("nora", first_name="Nora <b>Ek</b>"))
    return client


def test_the_list_shows_one_s_own_with_numbers(owner: Client, nora: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    page = owner.get("/workspaces").content.decode()
    assert "Harbour" in page
    assert 'href="/workspaces/new"' in page
    page = nora.get("/workspaces").content.decode()
    assert "Harbour" not in page
    assert "nora" in page
    assert 'href="/workspaces/new"' not in page


def test_strangers_get_404_for_every_page_of_a_workspace(owner: Client, stranger: Client) -> None:
    number = person("olga").pk
    pages = ("", "/members", "/rename", "/delete", f"/members/{number}/remove")
    assert [stranger.get(f"/workspaces/harbour{page}").status_code for page in pages] == [404] * len(pages)
    for act in ("/invite", f"/members/{number}/role", f"/members/{number}/remove", "/delete", "/rename"):
        assert stranger.post(f"/workspaces/harbour{act}", {"role": "viewer", "name": "sven"}).status_code == 404
    assert stranger.get("/workspaces/%00").status_code == 404
    assert role_of("olga") == "owner"


def test_who_does_not_own_it_is_told_who_does(owner: Client, operator: Client, viewer: Client) -> None:
    number = person("olga").pk
    for client in (operator, viewer):
        assert "olga" in client.get(PAGE).content.decode()
        for act in ("/rename", "/delete", f"/members/{number}/remove"):
            answer = client.get(f"/workspaces/harbour{act}")
            assert (answer.status_code, "olga" in answer.content.decode()) == (403, True)
        for act in ("/invite", f"/members/{number}/role", f"/members/{number}/remove", "/delete"):
            assert client.post(f"/workspaces/harbour{act}", {"role": "viewer", "name": "x"}).status_code == 403
    assert role_of("olga") == "owner"


def test_an_owner_invites_somebody_by_name(owner: Client, nora: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert nora.get("/services/chat_a").status_code == 404
    assert owner.post("/workspaces/harbour/invite", {"name": "Nora", "role": "viewer"})["Location"] == PAGE
    assert nora.get("/services/chat_a").status_code == 200
    page = owner.get(PAGE).content.decode()
    assert "Nora &lt;b&gt;Ek&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"name": "", "role": "viewer"}, 422, "name"),
        ({"name": "a\x00", "role": "viewer"}, 422, "name"),
        ({"name": "nora", "role": "king"}, 422, "role"),
        ({"name": "nora"}, 422, "role"),
        ({"name": "nobody", "role": "viewer"}, 409, "name"),
        ({"name": "olga", "role": "viewer"}, 409, "name"),
    ],
)
def test_a_wrong_invitation_is_refused_at_its_field(
    owner: Client, nora: Client, given: dict[str, str], status: int, field: str
) -> None:
    User.objects.create_superuser("root")
    answer = owner.post("/workspaces/harbour/invite", given)
    assert (answer.status_code, list(answer.context["errors"])) == (status, [field])
    if given["name"] == "nobody":
        assert "root" in answer.context["errors"]["name"][0]
    assert Membership.objects.filter(workspace__slug="harbour").count() == 1


def test_roles_are_changed_and_people_removed(owner: Client, operator: Client) -> None:
    number = person("oskar").pk
    assert owner.post(f"/workspaces/harbour/members/{number}/role", {"role": "viewer"}).status_code == 302
    assert role_of("oskar") == "viewer"
    assert owner.post(f"/workspaces/harbour/members/{number}/role", {"role": "king"}).status_code == 422
    assert "out of sight" in owner.get(f"/workspaces/harbour/members/{number}/remove").content.decode()
    answer = owner.post(f"/workspaces/harbour/members/{number}/remove", headers=SCRIPT)
    assert answer.status_code == 204
    assert json.loads(answer["HX-Trigger"])["slipway:done"]["next"] == PAGE
    assert role_of("oskar") is None
    assert owner.post(f"/workspaces/harbour/members/{number}/remove").status_code == 404
    assert operator.get(PAGE).status_code == 404


def test_everybody_may_leave_but_the_last_owner(owner: Client, viewer: Client) -> None:
    number = person("vera").pk
    assert viewer.post(f"/workspaces/harbour/members/{number}/remove")["Location"] == "/workspaces"
    assert role_of("vera") is None
    number = person("olga").pk
    answer = owner.post(f"/workspaces/harbour/members/{number}/remove")
    assert (answer.status_code, "last owner" in answer.content.decode()) == (409, True)
    answer = owner.post(f"/workspaces/harbour/members/{number}/role", {"role": "viewer"})
    assert (answer.status_code, "last owner" in answer.content.decode()) == (409, True)
    assert role_of("olga") == "owner"


def test_a_workspace_is_made_renamed_and_deleted_by_its_name(owner: Client) -> None:
    assert owner.post("/workspaces/new", {"name": "Night watch"})["Location"] == "/workspaces/night-watch/members"
    assert owner.post("/workspaces/night-watch/rename", {"name": "Day watch"}).status_code == 302
    assert "Day watch" in owner.get("/workspaces").content.decode()
    assert owner.post("/workspaces/night-watch/rename", {"name": ""}).status_code == 422
    assert owner.post("/workspaces/night-watch/delete", {"typed_name": "Day"}).status_code == 422
    assert owner.post("/workspaces/night-watch/delete", {"typed_name": "night-watch"})["Location"] == "/workspaces"
    assert not Workspace.objects.filter(slug="night-watch").exists()


def test_a_workspace_with_services_says_how_many(owner: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    answer = owner.post("/workspaces/harbour/delete", {"typed_name": "harbour"})
    assert (answer.status_code, "1 service" in answer.content.decode()) == (409, True)
    assert Workspace.objects.filter(slug="harbour").exists()


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"name": ""}, 422, "WorkspaceName"),
        ({"name": "ok", "slug": "Not ok"}, 422, "WorkspaceId"),
        ({"name": "ok", "slug": "harbour"}, 409, "WorkspaceId"),
    ],
)
def test_a_wrong_workspace_is_refused_at_its_field(
    owner: Client, given: dict[str, str], status: int, field: str
) -> None:
    answer = owner.post("/workspaces/new", given)
    assert (answer.status_code, list(answer.context["errors"])) == (status, [field])


def test_who_owns_nothing_makes_no_workspace(operator: Client) -> None:
    assert operator.get("/workspaces/new").status_code == 403
    assert operator.post("/workspaces/new", {"name": "Mine"}).status_code == 403


def test_the_switch_lists_what_one_may_see_and_marks_where_one_is(owner: Client, stranger: Client) -> None:
    menu = owner.get("/workspaces-menu?current=harbour", headers=SCRIPT).content.decode()
    assert '<a href="/?workspace=harbour" aria-current="true">' in menu
    assert "Elsewhere" not in menu
    assert "Harbour" in owner.get("/?workspace=harbour").content.decode()


@pytest.mark.parametrize("path", ["/workspaces", PAGE, "/people"])
def test_the_pages_take_the_same_queries_however_many_there_are(
    path: str, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for number in range(30):
        user = User.objects.create_user(f"person-{number}")
        Membership.objects.create(workspace=workspace, user=user, role=Role.VIEWER)
        Workspace.objects.create(slug=f"w-{number}", name=f"W {number}")
    with django_assert_max_num_queries(12):
        assert root.get(path).status_code == 200


@pytest.mark.parametrize("number", [0, 10**30])
def test_numbers_of_nobody_are_404(owner: Client, number: int) -> None:
    assert owner.post(f"/workspaces/harbour/members/{number}/role", {"role": "viewer"}).status_code == 404
    assert owner.get(f"/workspaces/harbour/members/{number}/remove").status_code == 404


@pytest.mark.parametrize("form", ["/deploy/llm", "/deploy/custom"])
def test_a_deployment_form_begins_with_the_workspace_of_the_list(owner: Client, form: str) -> None:
    owner.post("/workspaces/new", {"name": "Night watch"})
    page = owner.get(f"{form}?workspace=night-watch").content.decode()
    assert '<option value="night-watch" selected>' in page
    assert '<option value="elsewhere"' not in owner.get(f"{form}?workspace=elsewhere").content.decode()
