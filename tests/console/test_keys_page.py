"""The page Keys: personal tokens and access keys, made, shown once, revoked."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from console.shown_once import KEY
from deployments.access_keys import MAX_ACCESS_KEYS, find_access_key
from deployments.accounts import MAX_TOKENS, find_user_by_token
from deployments.models import AccessKey, AuditEntry, PersonalToken, Service
from inference_gateway.models import Caller
from tests.console.conftest import TOKEN, ServiceMaker
from tests.signing import acs3_headers

LIVE = {"X-Slipway-Live": "all"}
SCRIPT = {"HX-Request": "true"}


def make(client: Client, kind: str, name: str = "laptop", days: str = "30") -> tuple[int, dict[str, str]]:
    answer = client.post("/keys/new", {"kind": kind, "name": name, "days": days}, follow=True)
    context = answer.context
    return answer.status_code, {
        word: context[word] for word in ("token", "key_id", "secret", "snippet") if word in context
    }


def signed_status(key_id: str, secret: str) -> int:
    return Client().get("/api/v2/me", headers=acs3_headers((key_id, secret), "GET", "/api/v2/me")).status_code


def test_without_keys_the_page_says_how_they_are_used(owner: Client) -> None:
    page = owner.get("/keys").content.decode()
    assert "$TOKEN" in page
    assert "alibabacloud_eas20210701" in page
    assert 'href="/keys/new"' in page


def test_a_personal_token_is_shown_once_works_and_is_revoked(owner: Client, operator: Client) -> None:
    status, made = make(owner, "token")
    assert status == 200
    assert made["token"] in made["snippet"]
    found = find_user_by_token(made["token"])
    assert found is not None
    assert found.get_username() == "olga"
    assert made["token"] not in owner.get("/keys").content.decode()
    address = f"/keys/tokens/{PersonalToken.objects.get().pk}/revoke"
    assert operator.get(address).status_code == 404
    assert operator.post(address, {"typed_name": "laptop"}).status_code == 404
    assert owner.post(address, {"typed_name": "laptop"}).status_code == 302
    assert find_user_by_token(made["token"]) is None


def test_loading_the_page_again_neither_makes_nor_shows_another(owner: Client) -> None:
    address = owner.post("/keys/new", {"kind": "token", "name": "laptop", "days": "30"})["Location"]
    assert owner.head(address).status_code == 200
    page = owner.get(address)
    secret = page.context["token"]
    assert page["Cache-Control"] == "no-store, private"
    again = owner.get(address, follow=True)
    assert again.redirect_chain == [("/keys", 302)]
    assert "It was shown once" in again.content.decode()
    assert secret not in again.content.decode()
    assert PersonalToken.objects.count() == 1


def test_a_secret_that_waits_is_not_readable_and_not_for_another_page(owner: Client, operator: Client) -> None:
    address = owner.post("/keys/new", {"kind": "token", "name": "laptop", "days": "30"})["Location"]
    kept = json.dumps(dict(owner.session))
    assert operator.get(address)["Location"] == "/keys"
    secret = owner.get(address).context["token"]
    assert secret not in kept
    assert not owner.session[KEY]


def test_two_keys_made_in_two_tabs_are_both_shown(owner: Client) -> None:
    form = {"kind": "token", "days": "30"}
    addresses = [owner.post("/keys/new", form | {"name": name})["Location"] for name in ("one", "two")]
    assert [owner.get(address).context["name"] for address in addresses] == ["one", "two"]


def test_an_access_key_is_shown_once_works_and_is_revoked(owner: Client, operator: Client) -> None:
    status, made = make(owner, "access-key", days="0")
    assert status == 200
    assert made["key_id"] in made["snippet"]
    assert made["secret"] in made["snippet"]
    assert signed_status(made["key_id"], made["secret"]) == 200
    page = owner.get("/keys").content.decode()
    assert made["key_id"] in page
    assert made["secret"] not in page
    address = f"/keys/access-keys/{made['key_id']}/revoke"
    assert operator.post(address, {"typed_name": "laptop"}).status_code == 404
    assert owner.post(address, {"typed_name": "laptop"}).status_code == 302
    assert signed_status(made["key_id"], made["secret"]) == 401
    assert made["key_id"] not in owner.get("/keys").content.decode()
    assert owner.get(address).status_code == 404
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {"access_key.create", "access_key.revoke"}


def test_a_used_key_wants_its_name_typed_and_an_unused_one_does_not(owner: Client) -> None:
    _, made = make(owner, "access-key")
    address = f"/keys/access-keys/{made['key_id']}/revoke"
    assert 'name="typed_name"' not in owner.get(address, headers=SCRIPT).content.decode()
    AccessKey.objects.update(last_used_at=timezone.now())
    assert 'name="typed_name"' in owner.get(address, headers=SCRIPT).content.decode()
    for typed in ("", "lap"):
        assert owner.post(address, {"typed_name": typed}, headers=SCRIPT).status_code == 422
    assert find_access_key(User.objects.get(username="olga"), made["key_id"]) is not None
    answer = owner.post(address, {"typed_name": "laptop"}, headers=SCRIPT)
    assert answer.status_code == 204
    assert "slipway:done" in answer["HX-Trigger"]
    assert find_access_key(User.objects.get(username="olga"), made["key_id"]) is None


def test_asking_to_revoke_revokes_nothing(owner: Client) -> None:
    _, made = make(owner, "token")
    page = owner.get(f"/keys/tokens/{PersonalToken.objects.get().pk}/revoke")
    assert page.status_code == 200
    assert "laptop" in page.content.decode()
    assert find_user_by_token(made["token"]) is not None


@pytest.mark.parametrize("kind", ["token", "access-key"])
def test_a_key_needs_a_name_and_a_known_end(owner: Client, kind: str) -> None:
    for name, days in (
        (" ", "30"),
        ("a\0b", "30"),
        ("a\nb", "30"),
        ("x" * 121, "30"),
        ("x", "31"),
        ("x", ""),
        ("x", "9" * 5000),
    ):
        answer = owner.post("/keys/new", {"kind": kind, "name": name, "days": days})
        assert answer.status_code == 422
        assert "field-error" in answer.content.decode()
    assert not PersonalToken.objects.exists()
    assert not AccessKey.objects.exists()


def test_a_key_is_of_a_known_kind(owner: Client) -> None:
    assert owner.post("/keys/new", {"kind": "skeleton", "name": "x", "days": "30"}).status_code == 422
    assert owner.post("/keys/new", {}).status_code == 422
    for kind in ("", "access-key", "skeleton"):
        assert owner.get("/keys/new", {"kind": kind}).status_code == 200


def test_what_was_typed_stays_in_a_refused_form(owner: Client) -> None:
    page = owner.post("/keys/new", {"kind": "access-key", "name": "<b>", "days": "31"}).content.decode()
    assert 'value="&lt;b&gt;"' in page
    assert 'id="kind-access-key" checked' in page


def test_nobody_has_more_keys_than_the_limit(owner: Client) -> None:
    user = User.objects.get(username="olga")
    PersonalToken.objects.bulk_create(
        PersonalToken(user=user, name=f"t{number}", digest=str(number)) for number in range(MAX_TOKENS)
    )
    AccessKey.objects.bulk_create(
        AccessKey(user=user, name=f"k{number}", key_id=f"k{number}") for number in range(MAX_ACCESS_KEYS)
    )
    for kind in ("token", "access-key"):
        assert owner.post("/keys/new", {"kind": kind, "name": "one more", "days": "30"}).status_code == 409
    assert PersonalToken.objects.count() == MAX_TOKENS
    assert AccessKey.objects.count() == MAX_ACCESS_KEYS


def test_the_page_takes_the_same_queries_however_many_keys_there_are(
    owner: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    user = User.objects.get(username="olga")
    for number in range(20):
        PersonalToken.objects.create(user=user, name="t", digest=str(number), last_used_at=timezone.now())
        AccessKey.objects.create(user=user, name="k", key_id=f"k{number}", expires_at=timezone.now())
    with django_assert_max_num_queries(9):
        page = owner.get("/keys", headers=LIVE).content.decode()
    assert page.count("Revoke t") == page.count("Revoke k") == 20
    assert "expired" in page


def test_service_keys_are_listed_masked_for_those_who_may_change_the_service(
    operator: Client, viewer: Client, stranger: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    Caller.objects.create(service=service, address="10.0.0.7", agent="nightly/1", last_at=timezone.now(), calls=3)
    page = operator.get("/keys").content.decode()
    assert 'action="/services/chat_a/token"' in page
    assert TOKEN not in page
    for client in (viewer, stranger):
        assert "chat_a" not in client.get("/keys").content.decode()
    asked = operator.get("/services/chat_a/token/rotate").content.decode()
    assert "10.0.0.7 nightly/1" in asked
    Caller.objects.update(last_at=timezone.now() - timedelta(days=2))
    assert "10.0.0.7" not in operator.get("/services/chat_a/token/rotate").content.decode()


def test_a_service_key_is_as_old_as_its_last_rotation(operator: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    year = timezone.now() - timedelta(days=365)
    Service.objects.filter(pk=service.pk).update(created_at=year, token_made_at=year)
    stamp = f'datetime="{year:%Y-%m-%dT%H:%M:%S}'
    assert stamp in operator.get("/keys").content.decode()
    operator.post("/services/chat_a/token/rotate", {"typed_name": "chat_a"})
    assert Service.objects.get().token_made_at > year
    assert stamp not in operator.get("/keys").content.decode()


def test_many_service_keys_come_in_pages_and_are_searched(
    operator: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        make_service(f"chat_{number:02d}", ready=0)
    with django_assert_max_num_queries(9):
        page = operator.get("/keys").content.decode()
    assert page.count("data-secret-field") == 25
    assert operator.get("/keys?page=2").content.decode().count("data-secret-field") == 5
    assert operator.get("/keys?q=chat_07").content.decode().count("data-secret-field") == 1
    assert "Clear filters" in operator.get("/keys?q=%00nothing").content.decode()


def test_keys_are_for_people_who_are_signed_in(db: None) -> None:
    for path in ("/keys", "/keys/new", "/keys/tokens/1/revoke", "/keys/access-keys/x/revoke"):
        assert Client().get(path).status_code == 302


def test_the_password_page_leads_to_the_keys(owner: Client) -> None:
    assert 'href="/keys"' in owner.get("/settings/security").content.decode()
