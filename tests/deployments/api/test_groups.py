"""Service groups over REST: they come with their first member, go with their last, and share out by mode and weight."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection

from deployments import lifecycle
from deployments.encryption import decrypt
from deployments.lifecycle import Conflict
from deployments.models import AuditEntry, Service, ServiceEvent, ServiceGroup, Workspace
from deployments.reconcile import reconcile
from deployments.spec import ServiceSpec, SpecInvalid
from tests.deployments.api.conftest import Api
from tests.deployments.driving import tiny_document

pytestmark = pytest.mark.django_db
GROUP = "groups/local/team"
RELEASE = "services/local/blue/release"
MakeService = Callable[..., Service]


@pytest.fixture
def blue(make_service: MakeService) -> Service:
    return make_service("blue", **tiny_document("blue", group="team"))


def actions() -> list[tuple[str, str]]:
    """What the audit has of groups and releases."""
    rows = AuditEntry.objects.filter(action__regex=r"^group|release").order_by("pk")
    return list(rows.values_list("action", "target"))


def regroup(api: Api, service: str, group: str | None) -> tuple[int, dict[str, Any]]:
    return api.put(f"services/local/{service}", {"metadata": {"group": group}})


def test_a_group_comes_with_its_first_member_and_goes_with_its_last(
    operator: Api, blue: Service, make_service: MakeService
) -> None:
    make_service("green", **tiny_document("green", group="team"))
    status, listed = operator.get("groups")
    assert (status, [one["Name"] for one in listed["Groups"]], listed["TotalCount"]) == (200, ["team"], 1)
    assert regroup(operator, "blue", "other")[0] == 200
    assert {one["Name"] for one in operator.get("groups")[1]["Groups"]} == {"team", "other"}
    assert operator.delete("services/local/green")[0] == 200
    assert operator.get(GROUP)[0] == 200  # it is being deleted, and not gone
    reconcile(Service.objects.get(name="green").pk)
    assert operator.get(GROUP)[1]["Code"] == "GroupNotFound"
    assert regroup(operator, "blue", None)[0] == 200
    assert operator.get("groups")[1]["TotalCount"] == 0
    assert actions() == [
        ("group.create", "team"),
        ("group.create", "other"),
        ("group.delete", "team"),
        ("group.delete", "other"),
    ]


def test_the_document_keeps_its_group_and_an_earlier_version_brings_it_back(operator: Api, blue: Service) -> None:
    described = operator.get("services/local/blue")[1]
    assert (described["ServiceGroup"], described["Weight"], described["TrafficState"]) == ("team", -1, "standalone")
    assert json.loads(described["ServiceConfig"])["metadata"]["group"] == "team"
    assert regroup(operator, "blue", "")[0] == 200
    left = operator.get("services/local/blue")[1]
    assert (left["ServiceGroup"], left["Weight"], operator.get("groups")[1]["TotalCount"]) == ("", 0, 0)
    assert operator.put("services/local/blue/version", {"Version": 1})[0] == 200
    assert [one["Name"] for one in operator.get("groups")[1]["Groups"]] == ["team"]
    assert operator.get("services", GroupName="team")[1]["TotalCount"] == 1


def test_a_group_has_a_token_of_its_own_that_viewers_do_not_see(
    operator: Api, viewer: Api, stranger: Api, blue: Service
) -> None:
    described = operator.get(GROUP)[1]
    token = described["AccessToken"]
    group = ServiceGroup.objects.get()
    assert token == decrypt(group.token_encrypted) != decrypt(blue.token_encrypted)
    assert token not in group.token_encrypted
    assert described["InternetEndpoint"] == described["IntranetEndpoint"] == "http://testserver/api/predict/team"
    assert (described["ClusterId"], described["TrafficMode"], described["QueueService"]) == ("local", "auto", "")
    assert operator.get("groups")[1]["Groups"][0]["AccessToken"] == ""
    endpoints = operator.get(f"{GROUP}/endpoints")[1]
    assert endpoints["AccessToken"] == token
    assert endpoints["Endpoints"][0]["InternetEndpoints"] == ["http://testserver/api/predict/team"]
    assert viewer.get(GROUP)[1]["AccessToken"] == viewer.get(f"{GROUP}/endpoints")[1]["AccessToken"] == ""
    status, rotated = operator.post(f"{GROUP}/token")
    assert (status, operator.get(GROUP)[1]["AccessToken"]) == (200, rotated["AccessToken"])
    assert rotated["AccessToken"] != token
    assert rotated["AccessToken"] not in str(list(AuditEntry.objects.values()))


def test_who_may_not_change_a_group_may_at_most_see_it(viewer: Api, stranger: Api, blue: Service) -> None:
    asked: list[tuple[str, str, Any]] = [
        ("PUT", GROUP, {"TrafficMode": "auto"}),
        ("POST", f"{GROUP}/token", None),
        ("PUT", RELEASE, {"Weight": 1}),
    ]
    for method, path, body in asked:
        assert viewer.request(method, path, body)[0] == 403
        assert stranger.request(method, path, body)[0] == 404
    assert viewer.get("groups")[1]["TotalCount"] == 1
    assert stranger.get("groups")[1]["TotalCount"] == 0
    for path in (GROUP, f"{GROUP}/endpoints", "groups/elsewhere/team", "groups/local/No%20Name"):
        assert stranger.get(path)[0] == 404
    assert viewer.get("groups/elsewhere/team")[1]["Code"] == "ClusterNotFound"


def test_the_mode_is_changed_and_a_wrong_one_named(operator: Api, blue: Service) -> None:
    assert operator.put(GROUP, {"TrafficMode": "customized"})[0] == 200
    assert operator.get(GROUP)[1]["TrafficMode"] == "customized"
    assert operator.put(GROUP, {"TrafficMode": "customized"})[1]["Message"].startswith("Nothing to change")
    for body in ({}, {"TrafficMode": "half"}, {"TrafficMode": ["auto"]}):
        status, refused = operator.put(GROUP, body)
        assert (status, refused["Errors"][0]["Field"]) == (400, "TrafficMode")
    assert actions() == [("group.create", "team"), ("group.update", "team")]


def test_a_release_changes_where_requests_go_and_nothing_else(operator: Api, blue: Service) -> None:
    before = operator.get("services/local/blue")[1]
    status, released = operator.put(RELEASE, {"Weight": 40, "TrafficState": "grouping"})
    told = "Releasing service [blue] in region [local] with weight [40], service status: [Creating]"
    assert (status, released["Message"]) == (200, told)
    after = operator.get("services/local/blue")[1]
    assert (after["Weight"], after["TrafficState"]) == (40, "grouping")
    assert (after["LatestVersion"], after["Status"]) == (before["LatestVersion"], before["Status"])
    blue.refresh_from_db()
    assert blue.generation == 1  # nothing for reconcile to do
    assert operator.put(RELEASE, {"TrafficState": "standalone"})[0] == 200
    assert operator.put(RELEASE, {"TrafficState": "standalone"})[0] == 200
    assert operator.get("services/local/blue")[1]["Weight"] == 40
    assert [action for action, _ in actions()] == ["group.create", "service.release", "service.release"]
    assert ServiceEvent.objects.filter(service=blue, code="Released").count() == 2
    assert operator.get("services", TrafficState="grouping")[1]["TotalCount"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "Weight"),
        ({"Weight": -2}, "Weight"),
        ({"Weight": 1001}, "Weight"),
        ({"Weight": "5"}, "Weight"),
        ({"Weight": True}, "Weight"),
        ({"TrafficState": "on"}, "TrafficState"),
        ({"TrafficState": {}}, "TrafficState"),
    ],
)
def test_a_wrong_release_names_its_field(operator: Api, blue: Service, body: dict[str, Any], field: str) -> None:
    status, refused = operator.put(RELEASE, body)
    assert (status, refused["Errors"][0]["Field"]) == (400, field)


def test_a_service_in_no_group_or_on_its_way_out_cannot_be_released(operator: Api, service: Service) -> None:
    path = f"services/local/{service.name}"
    status, refused = operator.put(f"{path}/release", {"TrafficState": "grouping"})
    assert (status, refused["Code"]) == (409, "no_group")
    assert operator.delete(path)[0] == 200
    assert operator.put(f"{path}/release", {"Weight": 1})[1]["Code"] == "deleting"


def test_who_moves_to_another_group_starts_there_without_requests(operator: Api, blue: Service) -> None:
    assert operator.put(RELEASE, {"Weight": 40, "TrafficState": "grouping"})[0] == 200
    assert operator.put("services/local/blue", {"metadata": {"cpu": 1}})[0] == 200
    kept = operator.get("services/local/blue")[1]
    assert (kept["Weight"], kept["TrafficState"]) == (40, "grouping")
    assert regroup(operator, "blue", "other")[0] == 200
    moved = operator.get("services/local/blue")[1]
    assert (moved["Weight"], moved["TrafficState"]) == (-1, "standalone")


def test_services_and_groups_share_their_names(operator: Api, blue: Service, service: Service) -> None:
    status, refused = operator.post("services", tiny_document("team"))
    assert (status, refused["Code"]) == (409, "name_taken")
    assert "group" in refused["Message"]
    for document in (tiny_document("new", group=service.name), tiny_document("new", group="new")):
        status, refused = operator.post("services", document)
        assert (status, refused["Errors"][0]["Field"]) == (400, "metadata.group")
        assert refused["Errors"][0]["Code"] == "name_taken"
    status, refused = regroup(operator, "blue", service.name)
    assert (status, refused["Errors"][0]["Code"]) == (400, "name_taken")
    status, refused = operator.post("services", tiny_document("new", group="No Name"))
    assert (status, refused["Errors"][0]["Field"]) == (400, "metadata.group")
    assert set(Service.objects.values_list("name", flat=True)) == {"blue", service.name}
    assert list(ServiceGroup.objects.values_list("name", flat=True)) == ["team"]


def test_another_workspace_s_group_is_joined_by_nobody(operator: Api, blue: Service, owner: Api) -> None:
    assert owner.user is not None
    other = Workspace.objects.create(slug="blues", name="Blues")
    other.memberships.create(user=owner.user, role="owner")
    document = tiny_document("new", group="team", workspace_id="blues")
    status, refused = owner.post("services", document)
    assert (status, refused["Errors"][0]["Code"]) == (400, "group_elsewhere")
    assert owner.get("groups", WorkspaceId="blues")[1]["TotalCount"] == 0
    assert owner.get("groups", WorkspaceId="red", Filter="TEA")[1]["TotalCount"] == 1
    assert owner.get("groups", Filter="tee")[1]["TotalCount"] == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_one_name_at_once_one_gets_it(owner: Api, workspace: Workspace) -> None:
    assert owner.user is not None
    actor, together = owner.user, threading.Barrier(2)

    def deploy(document: dict[str, Any]) -> bool:
        together.wait(30)
        try:
            lifecycle.create(workspace, actor, ServiceSpec.parse(document))
        except (Conflict, SpecInvalid):
            return False
        finally:
            connection.close()
        return True

    for number in range(10):
        name = f"wanted_{number}"
        documents = [tiny_document(name), tiny_document(f"member_{number}", group=name)]
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(deploy, documents)) == [False, True]
        assert Service.objects.filter(name=name).exists() != ServiceGroup.objects.filter(name=name).exists()


@pytest.mark.django_db(transaction=True)
def test_who_joins_while_the_last_member_leaves_has_a_group(owner: Api, workspace: Workspace) -> None:
    assert owner.user is not None
    actor, together = owner.user, threading.Barrier(2)

    def run(act: Callable[[], object]) -> None:
        together.wait(30)
        try:
            act()
        finally:
            connection.close()

    for number in range(10):
        group = f"team_{number}"
        last = lifecycle.create(workspace, actor, ServiceSpec.parse(tiny_document(f"last_{number}", group=group)))
        leave = partial(lifecycle.update, last, ServiceSpec.parse(tiny_document(last.name)), actor)
        spec = ServiceSpec.parse(tiny_document(f"next_{number}", group=group))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, (leave, partial(lifecycle.create, workspace, actor, spec))))
        members = ServiceGroup.objects.get(name=group).members.values_list("name", flat=True)
        assert list(members) == [f"next_{number}"]
