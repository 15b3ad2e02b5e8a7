"""Workspaces and members over REST: who may, what is refused, and that an owner always stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from deployments import members
from deployments.accounts import NotAllowed
from deployments.lifecycle import Conflict
from deployments.models import AuditEntry, Membership, Role, Service, Workspace
from tests.deployments.api.conftest import PASSWORD, Api

pytestmark = pytest.mark.django_db
Member = Callable[[str, Role | None], Api]


def roles(workspace: Workspace) -> dict[str, str]:
    return dict(Membership.objects.filter(workspace=workspace).values_list("user__username", "role"))


def test_an_owner_creates_a_workspace_and_owns_it(owner: Api) -> None:
    status, made = owner.post("workspaces", {"WorkspaceName": "Team A"})
    assert (status, made["WorkspaceId"], made["Role"]) == (201, "team-a", "owner")
    assert owner.post("workspaces", {"WorkspaceName": "Team A"})[1]["WorkspaceId"] == "team-a-2"
    status, answer = owner.post("workspaces", {"WorkspaceName": "Other", "WorkspaceId": "team-a"})
    assert (status, answer["Code"]) == (409, "slug_taken")
    assert owner.get("workspaces")[1]["TotalCount"] == 3


@pytest.mark.parametrize("name", ["水", "123", "new", "--", "x" * 120, "Ünïcode 5"])
def test_any_name_gives_a_short_one(owner: Api, name: str) -> None:
    status, made = owner.post("workspaces", {"WorkspaceName": name})
    assert status == 201
    assert owner.get(f"workspaces/{made['WorkspaceId']}")[1]["WorkspaceName"] == name


@pytest.mark.parametrize(
    "body",
    [{}, {"WorkspaceName": ""}, {"WorkspaceName": "a\nb"}, {"WorkspaceName": "x" * 121}, {"WorkspaceName": 5},
     *({"WorkspaceName": "ok", "WorkspaceId": slug} for slug in ("new", "1a", "A", "a_b", "-a", "a-", "x" * 64, 7))],
)  # fmt: skip
def test_a_wrong_workspace_is_400(owner: Api, body: object) -> None:
    status, answer = owner.post("workspaces", body)
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert Workspace.objects.count() == 1


def test_operators_and_strangers_create_no_workspace(operator: Api, stranger: Api) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    for person in (operator, stranger):
        status, answer = person.post("workspaces", {"WorkspaceName": "Mine"})
        assert status == 403
        assert "root" in answer["Message"]


CALLS: list[tuple[str, str, Any]] = [
    ("PUT", "workspaces/red", {"WorkspaceName": "Blue"}),
    ("DELETE", "workspaces/red", None),
    ("POST", "workspaces/red/members", {"UserName": "stan", "Role": "viewer"}),
    ("PUT", "workspaces/red/members/olga", {"Role": "viewer"}),
    ("DELETE", "workspaces/red/members/olga", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_only_owners_change_a_workspace_and_strangers_get_404(
    owner: Api, operator: Api, viewer: Api, stranger: Api, method: str, path: str, body: Any
) -> None:
    for person in (operator, viewer):
        status, answer = person.request(method, path, body)
        assert (status, answer["Code"]) == (403, "Forbidden")
        assert "olga" in answer["Message"]
    status, answer = stranger.request(method, path, body)
    assert (status, answer["Code"]) == (404, "WorkspaceNotFound")
    assert stranger.get("workspaces/red/members")[0] == 404
    red = Workspace.objects.get()
    assert (red.name, roles(red)["olga"], "stan" in roles(red)) == ("Red", "owner", False)


def test_members_see_one_another(owner: Api, viewer: Api) -> None:
    found = viewer.get("workspaces/red/members")[1]
    assert [(one["UserName"], one["Role"]) for one in found["Members"]] == [("olga", "owner"), ("vera", "viewer")]


def test_a_person_is_invited_promoted_and_removed(owner: Api, stranger: Api, service: Service) -> None:
    assert stranger.get("services/local/chat")[0] == 404
    assert owner.post("workspaces/red/members", {"UserName": "Stan", "Role": "viewer"})[0] == 201
    assert stranger.get("services/local/chat")[0] == 200
    assert stranger.put("services/local/chat/stop")[0] == 403
    assert owner.put("workspaces/red/members/stan", {"Role": "operator"})[1]["Role"] == "operator"
    assert stranger.put("services/local/chat/stop")[0] == 200
    assert owner.delete("workspaces/red/members/stan")[0] == 200
    assert stranger.get("services/local/chat")[0] == 404
    acts = list(AuditEntry.objects.filter(target="stan").values_list("action", "before", "after"))
    assert acts == [
        ("member.remove", {"role": "operator"}, None),
        ("member.change_role", {"role": "viewer"}, {"role": "operator"}),
        ("member.add", None, {"role": "viewer"}),
    ]


def test_an_invitation_that_cannot_be_says_why(owner: Api, viewer: Api) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    User.objects.create_user("gone", is_active=False)
    for name in ("nobody", "gone"):
        status, answer = owner.post("workspaces/red/members", {"UserName": name, "Role": "viewer"})
        assert (status, answer["Code"]) == (409, "person_unknown")
        assert "root" in answer["Message"]
    status, answer = owner.post("workspaces/red/members", {"UserName": "vera", "Role": "owner"})
    assert (status, answer["Code"]) == (409, "already_member")
    for body in ({"UserName": "vera"}, {"UserName": "vera", "Role": "king"}, {"UserName": "vera", "Role": []}):
        status, answer = owner.post("workspaces/red/members", body)
        assert (status, answer["Errors"][0]["Field"]) == (400, "Role")
    assert roles(Workspace.objects.get()) == {"olga": "owner", "vera": "viewer"}


@pytest.mark.parametrize("name", ["nobody", "%00", "..", "stan"])
def test_who_is_no_member_is_404(owner: Api, stranger: Api, name: str) -> None:
    for method, body in (("PUT", {"Role": "viewer"}), ("DELETE", None)):
        status, answer = owner.request(method, f"workspaces/red/members/{name}", body)
        assert (status, answer["Code"]) == (404, "MemberNotFound")


def test_the_last_owner_neither_leaves_nor_is_demoted(owner: Api, operator: Api, workspace: Workspace) -> None:
    admin = Api(User.objects.create_superuser("root", password=PASSWORD))
    for person in (owner, admin):
        assert person.put("workspaces/red/members/olga", {"Role": "viewer"})[1]["Code"] == "last_owner"
        assert person.delete("workspaces/red/members/olga")[1]["Code"] == "last_owner"
    assert operator.delete("workspaces/red/members/oscar")[0] == 200
    assert roles(workspace) == {"olga": "owner"}


def test_an_owner_who_cannot_sign_in_is_not_one_that_stays(owner: Api, member: Member, workspace: Workspace) -> None:
    second = member("otto", Role.OWNER)
    assert second.user is not None
    User.objects.filter(pk=second.user.pk).update(is_active=False)
    assert owner.delete("workspaces/red/members/olga")[1]["Code"] == "last_owner"
    User.objects.filter(pk=second.user.pk).update(is_active=True)
    assert owner.delete("workspaces/red/members/olga")[0] == 200
    assert roles(workspace) == {"otto": "owner"}


def test_a_workspace_with_services_is_not_deleted(owner: Api, service: Service) -> None:
    status, answer = owner.delete("workspaces/red")
    assert (status, answer["Code"]) == (409, "workspace_not_empty")
    assert "1 service" in answer["Message"]
    service.delete()
    assert owner.delete("workspaces/red")[0] == 200
    assert owner.get("workspaces/red")[0] == 404


def test_a_renamed_workspace_keeps_its_id(owner: Api, workspace: Workspace) -> None:
    assert owner.put("workspaces/red", {"WorkspaceName": "  Blue   Team "})[1]["WorkspaceName"] == "Blue Team"
    assert owner.get("workspaces/red")[1]["WorkspaceName"] == "Blue Team"
    assert AuditEntry.objects.get(action="workspace.rename").before == {"name": "Red"}


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_one_another_at_once_leave_one(owner: Api, member: Member, workspace: Workspace) -> None:
    second = member("otto", Role.OWNER)
    assert owner.user is not None
    assert second.user is not None
    pairs = [(owner.user, second.user), (second.user, owner.user)]
    ready = threading.Barrier(len(pairs))
    refused: list[Exception] = []

    def remove(actor: User, person: User) -> None:
        try:
            ready.wait(10)
            members.remove_member(actor, workspace, person)
        except (Conflict, NotAllowed) as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 1
    assert list(roles(workspace).values()) == ["owner"]


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_leave_at_once_leave_one(owner: Api, member: Member, workspace: Workspace) -> None:
    second = member("otto", Role.OWNER)
    ready = threading.Barrier(2)
    refused: list[str] = []

    def leave(person: User) -> None:
        try:
            ready.wait(10)
            members.remove_member(person, workspace, person)
        except Conflict as refusal:
            refused.append(refusal.code)
        finally:
            connection.close()

    people = [person.user for person in (owner, second) if person.user]
    threads = [threading.Thread(target=leave, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert refused == ["last_owner"]
    assert list(roles(workspace).values()) == ["owner"]
