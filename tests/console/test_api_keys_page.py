"""The page Keys: API keys with terms, made, shown once, changed, revoked; limits for owners of a workspace."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from deployments.api_keys import KeyTerms, is_sealed, issue_api_key
from deployments.models import ApiKey, AuditEntry, Membership, Workspace
from tests.console.conftest import ServiceMaker

SCRIPT = {"HX-Request": "true"}
FORM = {"name": "laptop", "days": "30", "scopes": ["chat"], "reach": "all"}


def issue(name: str, workspace: Workspace, **terms: Any) -> ApiKey:
    return issue_api_key(User.objects.get(username=name), workspace, KeyTerms("laptop", **terms))[0]


def test_a_key_is_shown_once_with_examples_and_listed_without_its_secret(
    viewer: Client, make_service: ServiceMaker
) -> None:
    service = make_service("harbour_chat")
    page = viewer.get("/keys/api-keys/new").content.decode()
    assert service.name in page
    answer = viewer.post("/keys/api-keys/new", FORM | {"tokens_per_day": "5000"}, follow=True)
    secret = answer.context["api_key"]
    assert is_sealed(secret)
    assert secret in answer.context["curl"]
    assert secret in answer.context["code"]
    assert f'"model": "{service.name}"' in answer.context["curl"]
    assert f'model="{service.name}"' in answer.context["code"]
    key = ApiKey.objects.get()
    assert (key.scopes, key.service_uids, key.tokens_per_day, key.user.username) == (["chat"], [], 5000, "vera")
    listed = viewer.get("/keys").content.decode()
    assert secret not in listed
    assert key.prefix in listed
    assert "Every service of Harbour" in listed
    assert "Tokens per day: 5,000" in listed


def test_a_key_that_may_not_chat_is_shown_with_what_it_may_do(viewer: Client, make_service: ServiceMaker) -> None:
    make_service("harbour_chat")
    answer = viewer.post("/keys/api-keys/new", FORM | {"scopes": ["embeddings"]}, follow=True)
    assert "/v1/models" in answer.context["curl"]
    assert "client.models.list()" in answer.context["code"]


def test_a_key_for_some_services_names_them(owner: Client, make_service: ServiceMaker) -> None:
    one, two = make_service("one"), make_service("two")
    make_service("three")
    form = FORM | {"reach": "some", "services": [one.uid], "more": "two"}
    assert owner.post("/keys/api-keys/new", form).status_code == 302
    key = ApiKey.objects.get()
    assert sorted(key.service_uids) == sorted((one.uid, two.uid))
    page = owner.get(f"/keys/api-keys/{key.pk}")
    assert sorted(page.context["given"]["services"]) == sorted(key.service_uids)
    form = {"name": "desk", "scopes": ["chat", "call"], "reach": "some", "services": [two.uid]}
    assert owner.post(f"/keys/api-keys/{key.pk}", form)["Location"] == "/keys"
    key.refresh_from_db()
    assert (key.name, key.scopes, key.service_uids) == ("desk", ["chat", "call"], [two.uid])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "Give the key a name"),
        ({"scopes": []}, "Choose at least one of what the key may be used for"),
        ({"days": "7"}, "Choose how long the key is valid."),
        ({"reach": "some"}, "Choose at least one service, or every service."),
        ({"reach": "some", "more": "nowhere"}, "There is no service nowhere in Harbour."),
        ({"reach": "some", "services": ["eas-m-nothing"]}, "One of these services is not in Harbour."),
        ({"tokens_per_day": "0"}, "Give a whole number of 1 or more"),
        ({"tokens_per_day": "9" * 17}, "Give a whole number of 1 or more"),
        ({"parallel_requests": "²"}, "Give a whole number of 1 or more"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_the_rest_is_kept(
    owner: Client, make_service: ServiceMaker, change: dict[str, Any], words: str
) -> None:
    make_service("one")
    answer = owner.post("/keys/api-keys/new", FORM | {"tokens_per_month": "77"} | change)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert 'value="77"' in page
    assert "Error: " in page
    assert not ApiKey.objects.exists()


def test_only_its_owner_changes_a_key_and_only_owners_of_the_workspace_revoke_another_s(
    owner: Client, operator: Client, viewer: Client, stranger: Client, workspace: Workspace
) -> None:
    key = issue("vera", workspace)
    for other in (owner, operator, stranger):
        assert other.get(f"/keys/api-keys/{key.pk}").status_code == 404
        assert other.post(f"/keys/api-keys/{key.pk}", FORM).status_code == 404
    for other in (operator, stranger):
        assert other.post(f"/keys/api-keys/{key.pk}/revoke").status_code == 404
    page = owner.get("/workspaces/harbour/limits").content.decode()
    assert key.prefix in page
    assert "vera" in page
    asked = owner.get(f"/keys/api-keys/{key.pk}/revoke")
    assert "Revoke laptop?" in asked.content.decode()
    assert owner.post(f"/keys/api-keys/{key.pk}/revoke")["Location"] == "/workspaces/harbour/limits"
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert viewer.post(f"/keys/api-keys/{key.pk}/revoke").status_code == 404
    entry = AuditEntry.objects.get(action="api_key.revoke")
    assert (entry.actor_name, entry.target) == ("olga", key.prefix)


def test_one_s_own_key_is_revoked_from_the_dialog(viewer: Client, workspace: Workspace) -> None:
    key = issue("vera", workspace)
    answer = viewer.post(f"/keys/api-keys/{key.pk}/revoke", headers=SCRIPT)
    assert answer.status_code == 204
    assert "laptop no longer works." in answer.headers["HX-Trigger"]


def test_who_belongs_to_no_workspace_is_told_so(client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("nora"))
    page = client.get("/keys/api-keys/new")
    assert page.status_code == 200
    assert "You belong to no workspace" in page.content.decode()


def test_a_key_is_for_the_workspace_that_was_chosen(owner: Client, workspace: Workspace) -> None:
    other = Workspace.objects.create(slug="yard", name="Yard")
    assert owner.get("/keys/api-keys/new?workspace=yard").status_code == 404
    Membership.objects.create(workspace=other, user=User.objects.get(username="olga"), role="viewer")
    assert "Key for Yard" in owner.get("/keys/api-keys/new?workspace=yard").content.decode()
    owner.post("/keys/api-keys/new", FORM | {"workspace": "yard"})
    assert ApiKey.objects.get().workspace == other


def test_owners_set_limits_of_the_workspace_and_of_a_member(
    owner: Client, operator: Client, viewer: Client, workspace: Workspace
) -> None:
    vera = User.objects.get(username="vera")
    for address in ("/workspaces/harbour/limits", f"/workspaces/harbour/members/{vera.pk}/limits"):
        assert operator.get(address).status_code == 403
        assert operator.post(address, {"tokens_per_day": "1"}).status_code == 403
        assert owner.post(address, {"tokens_per_day": "x"}).status_code == 422
        answer = owner.post(address, {"tokens_per_day": "70000", "parallel_requests": ""})
        assert answer["Location"] == "/workspaces/harbour/limits"
    workspace.refresh_from_db()
    membership = Membership.objects.get(user=vera)
    assert workspace.tokens_per_day == membership.tokens_per_day == 70000
    page = owner.get("/workspaces/harbour/limits").content.decode()
    assert 'value="70000"' in page
    assert "Tokens per day: 70,000" in page
    assert 'href="/workspaces/harbour/limits"' in owner.get("/workspaces/harbour/members").content.decode()
    assert 'href="/workspaces/harbour/limits"' not in operator.get("/workspaces/harbour/members").content.decode()


def test_the_pages_ask_the_database_as_often_for_forty_keys_as_for_one(
    owner: Client, workspace: Workspace, make_service: ServiceMaker, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    uids = tuple(make_service(f"service_{number}").uid for number in range(5))
    for address in ("/keys", "/workspaces/harbour/limits"):
        ApiKey.objects.all().delete()
        issue("olga", workspace, service_uids=uids)
        with CaptureQueriesContext(connection) as one:
            owner.get(address)
        for _ in range(39):
            issue("olga", workspace, service_uids=uids)
        with django_assert_num_queries(len(one)):
            assert "and 2 more" in owner.get(address).content.decode()
