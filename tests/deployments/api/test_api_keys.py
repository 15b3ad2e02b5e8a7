"""API keys and limits over REST."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from deployments.api_keys import KEEP_REVOKED, MAX_API_KEYS, forget_old_api_keys, is_sealed
from deployments.models import ApiKey, AuditEntry, Membership, Service
from tests.deployments.api.conftest import PASSWORD, Api

pytestmark = pytest.mark.django_db
NO_LIMITS = dict.fromkeys(
    ("RequestsPerMinute", "TokensPerMinute", "ParallelRequests", "TokensPerDay", "TokensPerMonth"), 0
)


def make(api: Api, service: Service, **more: Any) -> dict[str, Any]:
    status, made = api.post("api-keys", {"Name": "ci", "WorkspaceId": service.workspace.slug, **more})
    assert status == 201, made
    return made


def test_a_key_is_made_shown_once_listed_changed_and_revoked(viewer: Api, service: Service) -> None:
    made = make(viewer, service, ExpiresInDays=30, Limits={"TokensPerDay": 1000})
    assert is_sealed(made["ApiKeySecret"])
    assert made["ApiKeySecret"].startswith(made["Prefix"])
    assert (made["AllServices"], made["Services"], made["Scopes"]) == (True, [], ["chat", "embeddings", "call"])
    status, found = viewer.get("api-keys")
    assert (status, found["TotalCount"]) == (200, 1)
    assert made["ApiKeySecret"] not in json.dumps(found)
    assert found["ApiKeys"][0]["Limits"] == {**NO_LIMITS, "TokensPerDay": 1000}

    path = f"api-keys/{made['ApiKeyId']}"
    changes = {"Scopes": ["chat"], "Services": [service.name], "Limits": {"ParallelRequests": 2}}
    status, changed = viewer.request("PATCH", path, changes)
    assert status == 200, changed
    assert (changed["Name"], changed["Scopes"], changed["Services"]) == ("ci", ["chat"], [service.name])
    assert changed["Limits"] == {**NO_LIMITS, "TokensPerDay": 1000, "ParallelRequests": 2}
    status, changed = viewer.request("PATCH", path, {"Limits": {"TokensPerDay": 0}})
    assert (status, changed["Limits"]["TokensPerDay"], changed["AllServices"]) == (200, 0, False)

    assert viewer.delete(path)[0] == 200
    assert viewer.delete(path)[1]["Code"] == "ApiKeyNotFound"
    assert viewer.get("api-keys")[1]["TotalCount"] == 0


def test_the_list_comes_in_pages_and_by_workspace(viewer: Api, service: Service) -> None:
    made = [make(viewer, service)["ApiKeyId"] for _ in range(3)]
    status, found = viewer.get("api-keys", PageNumber="2", PageSize="2", WorkspaceId=service.workspace.slug)
    assert (status, [one["ApiKeyId"] for one in found["ApiKeys"]], found["TotalCount"]) == (200, made[:1], 3)
    assert viewer.get("api-keys", WorkspaceId="elsewhere")[1]["TotalCount"] == 0


def test_the_secret_is_in_no_column_and_no_audit_entry(viewer: Api, service: Service) -> None:
    secret = make(viewer, service)["ApiKeySecret"]
    row = ApiKey.objects.get()
    viewer.request("PATCH", f"api-keys/{row.pk}", {"Name": "laptop"})
    viewer.delete(f"api-keys/{row.pk}")
    entries = list(AuditEntry.objects.filter(action__startswith="api_key").order_by("pk").values())
    assert [entry["action"] for entry in entries] == ["api_key.create", "api_key.change", "api_key.revoke"]
    kept = str(entries) + str(list(ApiKey.objects.values("name", "prefix", "digest", "scopes")))
    assert secret not in kept
    assert row.digest not in str(entries)


def test_an_owner_of_the_workspace_sees_and_revokes_a_key_but_does_not_change_it(
    owner: Api, operator: Api, stranger: Api, viewer: Api, service: Service
) -> None:
    made = make(viewer, service)
    path = f"api-keys/{made['ApiKeyId']}"
    for other in (operator, stranger):
        assert other.get("api-keys")[1]["TotalCount"] == 0
        assert other.delete(path)[0] == other.get(path)[0] == 404
    assert owner.get(path)[1]["UserName"] == made["UserName"]
    assert owner.request("PATCH", path, {"Name": "mine"})[0] == 404
    assert owner.delete(path)[0] == 200
    assert viewer.get("api-keys")[1]["TotalCount"] == 0


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"Name": ""}, "Name"),
        ({"Scopes": ["everything"]}, "Scopes"),
        ({"Scopes": []}, "Scopes"),
        ({"Scopes": "chat"}, "Scopes"),
        ({"Services": ["nowhere"]}, "Services"),
        ({"Services": [{"a": 1}]}, "Services"),
        ({"Limits": {"TokensPerDay": -1}}, "TokensPerDay"),
        ({"Limits": {"TokensPerDay": "many"}}, "TokensPerDay"),
        ({"Limits": {"TokensPerYear": 1}}, "TokensPerYear"),
        ({"Limits": 5}, "Limits"),
        ({"ExpiresInDays": 0}, "ExpiresInDays"),
    ],
)
def test_what_is_wrong_in_a_key_is_named(viewer: Api, service: Service, more: dict[str, Any], field: str) -> None:
    status, told = viewer.post("api-keys", {"Name": "ci", "WorkspaceId": service.workspace.slug, **more})
    assert (status, told["Code"]) == (400, "InvalidParameter")
    assert field in json.dumps(told)
    assert not ApiKey.objects.exists()


def test_nobody_makes_a_key_for_a_workspace_of_others(stranger: Api, service: Service) -> None:
    status, told = stranger.post("api-keys", {"Name": "ci", "WorkspaceId": service.workspace.slug})
    assert (status, told["Code"]) == (404, "WorkspaceNotFound")


def test_nobody_has_more_keys_than_the_limit(viewer: Api, service: Service) -> None:
    user = viewer.user
    assert user is not None
    ApiKey.objects.bulk_create(
        ApiKey(user=user, workspace=service.workspace, name="k", digest=f"{number}") for number in range(MAX_API_KEYS)
    )
    asked = {"Name": "one more", "WorkspaceId": service.workspace.slug}
    assert viewer.post("api-keys", asked)[1]["Code"] == "too_many_api_keys"


def test_keys_are_forgotten_long_after_they_were_revoked(viewer: Api, service: Service) -> None:
    made = make(viewer, service)
    viewer.delete(f"api-keys/{made['ApiKeyId']}")
    forget_old_api_keys()
    row = ApiKey.objects.get()
    assert row.revoked_at is not None
    ApiKey.objects.update(revoked_at=row.revoked_at - KEEP_REVOKED)
    forget_old_api_keys()
    assert not ApiKey.objects.exists()


def test_keys_end_for_good_with_their_owner_s_account(viewer: Api, service: Service) -> None:
    admin = Api(User.objects.create_superuser("root", password=PASSWORD))
    make(viewer, service)
    assert viewer.user is not None
    name = viewer.user.username
    assert admin.request("PUT", f"people/{name}/deactivate")[0] == 200
    assert admin.request("PUT", f"people/{name}/activate")[0] == 200
    assert ApiKey.objects.get().revoked_at is not None


def test_owners_set_the_limits_of_a_workspace_and_of_its_members(owner: Api, viewer: Api, service: Service) -> None:
    workspace = f"workspaces/{service.workspace.slug}"
    assert viewer.user is not None
    person = f"{workspace}/members/{viewer.user.username}/limits"
    assert viewer.get(f"{workspace}/limits")[1].items() >= NO_LIMITS.items()
    for path in (f"{workspace}/limits", person):
        assert viewer.request("PATCH", path, {"TokensPerDay": 5})[0] == 403
        status, told = owner.request("PATCH", path, {"TokensPerDay": 5, "RequestsPerMinute": 6})
        assert status == 200, told
        assert (
            owner.request("PATCH", path, {"RequestsPerMinute": None})[1].items()
            >= {
                **NO_LIMITS,
                "TokensPerDay": 5,
            }.items()
        )
        assert owner.request("PATCH", path, {"TokensPerDay": -1})[1]["Code"] == "InvalidParameter"
    assert viewer.get(person)[1]["TokensPerDay"] == 5
    membership = Membership.objects.get(user=viewer.user, workspace=service.workspace)
    assert (membership.tokens_per_day, membership.requests_per_minute) == (5, None)
    entries = AuditEntry.objects.filter(action__endswith=".limits").order_by("pk")
    assert [(entry.action, entry.before["tokens_per_day"]) for entry in entries if entry.before][:3] == [
        ("workspace.limits", None),
        ("workspace.limits", 5),
        ("member.limits", None),
    ]
    owner_name = User.objects.get(username="olga").username
    assert viewer.get(f"{workspace}/members/{owner_name}/limits")[0] == 403
