"""Creating, listing, describing and changing services over REST, in EAS's field names."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from django.db import connection

from deployments.api.fields import ServiceFields
from deployments.api.happenings import EventFields
from deployments.models import AuditEntry, Instance, Membership, Role, Service, Workspace
from tests.deployments.api.conftest import Api
from tests.deployments.driving import tiny_document

pytestmark = pytest.mark.django_db
Make = Callable[..., Service]


def test_create_answers_201_with_what_eas_answers(owner: Api, workspace: Workspace) -> None:
    status, answer = owner.post("services", tiny_document("chat"))
    row = Service.objects.get()
    assert status == 201
    assert {key: answer[key] for key in ("ServiceId", "ServiceName", "Status", "Region")} == {
        "ServiceId": row.uid,
        "ServiceName": "chat",
        "Status": "Creating",
        "Region": "local",
    }
    assert answer["InternetEndpoint"] == answer["IntranetEndpoint"] == "http://testserver/api/predict/chat"
    assert row.workspace == workspace
    assert AuditEntry.objects.get().action == "service.create"


def test_a_document_as_a_quoted_text_is_taken_too(owner: Api, workspace: Workspace) -> None:
    assert owner.post("services", json.dumps(tiny_document("chat")))[0] == 201


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "x", ""]
)
def test_the_content_type_does_not_matter(owner: Api, workspace: Workspace, kind: str) -> None:
    response = owner.client.generic(
        "POST", "/api/v2/services", json.dumps(tiny_document("chat")), content_type=kind, headers=owner.headers
    )
    assert response.status_code == 201


def test_alipai_s_document_with_the_name_on_top_is_taken(owner: Api, workspace: Workspace) -> None:
    document = tiny_document("x")
    del document["metadata"]["name"]
    assert owner.post("services", {**document, "name": "from_alipai"})[1]["ServiceName"] == "from_alipai"


def test_a_taken_name_is_409(owner: Api, service: Service) -> None:
    status, answer = owner.post("services", tiny_document("chat"))
    assert (status, answer["Code"]) == (409, "name_taken")


def test_every_wrong_field_is_named(owner: Api, workspace: Workspace) -> None:
    document = tiny_document("Not Good", instance=-1)
    document["containers"][0]["port"] = 8080
    status, answer = owner.post("services", document)
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert {error["Field"] for error in answer["Errors"]} == {
        "metadata.name",
        "metadata.instance",
        "containers[0].port",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"storage": [{"mount_path": "/m", "dataset": {"id": "d-1"}}]}, "storage[0]: Dataset storage cannot be"),
        ({"health_check": {"exec": {"command": ["true"]}}}, "containers[0].health_check runs a command"),
        ({"script": None}, "containers[0] has neither script nor command"),
        ({"metadata": {"name": "Not Good"}}, "metadata.name: Use a-z"),
    ],
)
def test_a_sentence_that_names_its_place_is_not_told_it_again(
    owner: Api, workspace: Workspace, changes: dict[str, Any], message: str
) -> None:
    document = tiny_document("chat")
    of_document = {name: value for name, value in changes.items() if name in ("storage", "metadata")}
    of_container = {name: value for name, value in changes.items() if name not in of_document}
    container = {**document["containers"][0], **of_container}
    container = {name: value for name, value in container.items() if value is not None}
    metadata = {**document["metadata"], **of_document.pop("metadata", {})}
    status, answer = owner.post(
        "services", {**document, **of_document, "metadata": metadata, "containers": [container]}
    )
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert answer["Message"].startswith(message)


def test_labels_of_the_parameter_join_the_document_s(owner: Api, workspace: Workspace) -> None:
    document = {**tiny_document("chat"), "labels": {"a": "1", "b": "2"}}
    owner.post("services", document, Labels='{"b": "3", "team": "x y"}')
    labels = owner.get("services/local/chat")[1]["Labels"]
    assert {one["LabelKey"]: one["LabelValue"] for one in labels} == {"a": "1", "b": "3", "team": "x y"}


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("Labels", "{"), ("Labels", "[]"), ("Labels", '{"a": {}}'), ("Labels", "[" * 9999), ("Develop", "maybe"),
     ("Develop", "true"), ("WorkspaceId", "blue"), ("WorkspaceId", "\0"), ("dry_run", "perhaps")],
)  # fmt: skip
def test_a_wrong_parameter_of_create_is_named(owner: Api, workspace: Workspace, parameter: str, value: str) -> None:
    status, answer = owner.post("services", tiny_document("chat"), **{parameter: value})
    assert status == 400
    assert answer["Errors"][0]["Field"] == parameter
    assert not Service.objects.exists()


def test_the_workspace_is_chosen_by_parameter_document_or_membership(owner: Api, workspace: Workspace) -> None:
    blue = Workspace.objects.create(slug="blue", name="A blue one")
    assert owner.user is not None
    Membership.objects.create(workspace=blue, user=owner.user, role=Role.VIEWER)
    owner.post("services", tiny_document("first"))  # blue comes first by name, but may not be changed
    Membership.objects.filter(workspace=blue).update(role=Role.OPERATOR)
    owner.post("services", tiny_document("by_parameter"), WorkspaceId="blue")
    owner.post("services", tiny_document("by_id"), WorkspaceId=str(blue.pk))
    owner.post("services", tiny_document("by_document", workspace_id="blue"))
    assert owner.post("services", tiny_document("two", workspace_id="blue"), WorkspaceId="red")[0] == 400
    found = dict(Service.objects.values_list("name", "workspace__slug"))
    assert found == {"first": "red", "by_parameter": "blue", "by_id": "blue", "by_document": "blue"}


def test_a_dry_run_creates_nothing_and_shows_the_document(owner: Api, workspace: Workspace) -> None:
    status, answer = owner.post("services", tiny_document("chat", cpu=1, memory=512), dry_run="true")
    assert status == 200
    assert answer["document"]["metadata"]["name"] == "chat"
    assert "http.server" in answer["command"]
    assert answer["resources"] == {"cpu": 1, "memory": 512, "gpu": 0}
    assert not Service.objects.exists()
    assert owner.post("services", {"metadata": {"name": "x"}}, dry_run="true")[0] == 400


def test_a_dry_run_shows_the_label_that_creating_would_add(owner: Api, workspace: Workspace) -> None:
    script = "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"
    document = tiny_document("chat", script)
    document["containers"][0]["image"] = "chat-llm-webui:3.0"
    shown = owner.post("services", document, dry_run="true")[1]["document"]
    owner.post("services", document)
    assert json.loads(owner.get("services/local/chat")[1]["ServiceConfig"]) == shown
    assert shown["labels"] == {"ServiceEngineType": "chat-llm"}


def assert_nothing_is_null(value: Any, path: str = "") -> None:
    assert value is not None, path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        assert_nothing_is_null(inner, f"{path}.{key}")


#: eas.md §4.2 "Service".
DOCUMENTED = [
    "ServiceId", "ServiceUid", "ServiceName", "ServiceGroup", "Region", "WorkspaceId", "ParentUid",
    "CallerUid", "Status", "Reason", "Message", "CreateTime", "UpdateTime", "Source", "Role",
    "RoleAttrs", "Labels", "Image", "Cpu", "Gpu", "GPUMemory", "GPUCorePercentage", "Memory",
    "Resource", "ResourceAlias", "ResourceBurstable", "QuotaId", "Namespace", "Gateway",
    "TotalInstance", "RunningInstance", "PendingInstance", "InstanceCountInResource",
    "CurrentVersion", "LatestVersion", "Weight", "TrafficState", "SafetyLock", "AccessToken",
    "InternetEndpoint", "IntranetEndpoint", "SecondaryInternetEndpoint",
    "SecondaryIntranetEndpoint", "ServiceConfig", "ExtraData", "AppType", "AppVersion",
    "AppSpecName", "AppConfig", "AutoscalerEnabled", "CronscalerEnabled",
]  # fmt: skip


def test_describe_has_every_documented_field_and_none_is_null(owner: Api, make_service: Make) -> None:
    make_service("plain")
    make_service(
        "full", metadata={"name": "full", "cpu": 0.5, "memory": 512, "gpu": 0, "group": None, "gpu_memory": None}
    )
    for name in ("plain", "full"):
        status, answer = owner.get(f"services/local/{name}")
        assert status == 200
        assert set(DOCUMENTED) <= set(answer)
        assert set(get_type_hints(ServiceFields)) | {"RequestId"} == set(answer)
        assert_nothing_is_null(answer)
        for field in ("Cpu", "Gpu", "Memory", "TotalInstance", "CurrentVersion", "LatestVersion", "Weight"):
            assert type(answer[field]) is int, field
        assert json.loads(answer["ServiceConfig"])["metadata"]["name"] == name
        assert "token" not in json.loads(answer["ServiceConfig"])
        assert answer["CreateTime"].endswith("Z")


def test_counts_are_of_instances_that_answer(owner: Api, make_service: Make, django_db_blocker: object) -> None:
    service = make_service("chat", metadata={"name": "chat", "instance": 3})
    for number, ready_at in enumerate([service.created_at, None]):
        Instance.objects.create(
            service=service, name=f"chat-r1-{number}", revision_number=1, phase="Running", ready_at=ready_at
        )
    answer = owner.get("services/local/chat")[1]
    assert (answer["TotalInstance"], answer["RunningInstance"], answer["PendingInstance"]) == (3, 1, 2)


def test_a_public_url_stands_in_the_endpoints(owner: Api, service: Service, settings: Any) -> None:
    settings.SLIPWAY_PUBLIC_URL = "https://slipway.example.com"
    answer = owner.get("services/local/chat/endpoints")[1]
    endpoint = answer["Endpoints"][0]
    assert endpoint["InternetEndpoints"] == ["https://slipway.example.com/api/predict/chat"]
    assert (endpoint["EndpointType"], endpoint["BackendId"], endpoint["Port"]) == ("DefaultGateway", "default", 443)


@pytest.mark.parametrize(
    "path",
    ["elsewhere/chat", "local/nope", "local/NO", "local/%00", "local/%ff%fe", "local/a%2Fb", "local/" + "x" * 4000,
     "local/chat/", "local/chat/nothing", "local/%", "%00/chat", "local/chat/versions/0", "local/chat/versions/x",
     "local/chat/versions/99999999999999999999", "local/chat/versions/²", "local/chat/instances/%00",
     "local/chat/instances/nope"],
)  # fmt: skip
def test_what_is_not_there_is_404_in_eas_s_shape(owner: Api, service: Service, path: str) -> None:
    assert owner.get(f"services/{path}")[0] == 404


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_an_unknown_path_is_404_for_every_method(owner: Api, method: str) -> None:
    assert owner.request(method, "no/such/path")[1]["Code"] == "NotFound"


def test_a_wrong_method_is_405(owner: Api, service: Service) -> None:
    for method, path in (("PATCH", "services"), ("POST", "services/local/chat"), ("GET", "services/local/chat/start")):
        status, answer = owner.request(method, path)
        assert (status, answer["Code"]) == (405, "MethodNotAllowed")


# Bodies


BAD_BODIES: list[bytes] = [
    b"", b"{", b"null", b"[]", b"3", b'"x"', b'"{"', b"\xff\xfe{}", b"\x00", b"{}", b'{"metadata": null}',
    b'{"metadata": []}',
    b'{"metadata": {"name": null}}', b'{"metadata": {"name": "abc", "instance": NaN}}',
    b'{"metadata": {"name": "abc"}, "containers": {}}', b'{"metadata": {"name": "abc"}, "containers": [null]}',
    b'{"metadata": {"name": "abc"}, "containers": [{"image": "a", "script": "x\\u0000"}]}',
    b'{"metadata": {"name": "abc"}, "containers": [{"image": "a", "script": "\\ud800"}]}',
    b'{"metadata": {"name": "abc", "cpu": 1e999}, "containers": [{"image": "a"}]}',
    b'{"metadata": {"name": "abc", "instance": ' + b"9" * 4000 + b'}, "containers": [{"image": "a"}]}',
    b'{"metadata": {"name": "abc", "instance": ' + b"9" * 5000 + b'}, "containers": [{"image": "a"}]}',
    b"[" * 100_000, b'{"a":' * 100_000, b'{"metadata": {"name": "abc"}, "x": ' + b"[" * 50 + b"]" * 50 + b"}",
    b'"' + b"[" * 100_000 + b'"', b'{"metadata": {"name": "abc"}, "labels": [1]}', b'{"metadata": {"\\ud800": 1}}',
    b'{"token": "a\\u0000bcdefgh", "metadata": {"name": "abc"}, "containers": [{"image": "a"}]}',
    b'{"metadata": {"name": "abc", "workspace_id": {}}, "containers": [{"image": "a"}]}',
    b'{"metadata": {"name": "abc"}, "containers": [{"image": "a", "script": 1}], "networking": {"gateway_policy": 3}}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:40].decode(errors="replace"))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "services"),
        ("POST", "llm-services"),
        ("PUT", "services/local/chat?UpdateType=replace"),
        ("PUT", "services/local/chat/scale"),
        ("PUT", "services/local/chat/version"),
        ("POST", "tokens"),
    ],
)
def test_a_bad_body_is_400_and_changes_nothing(
    owner: Api, service: Service, method: str, path: str, body: bytes
) -> None:
    status, answer = owner.request(method, path, body)
    assert status == 400
    assert answer["Code"] in {"InvalidJson", "InvalidParameter"}
    service.refresh_from_db()
    assert service.generation == 1
    assert Service.objects.count() == 1


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:40].decode(errors="replace"))
def test_merging_a_bad_body_never_breaks(owner: Api, service: Service, body: bytes) -> None:
    assert owner.put("services/local/chat", body)[0] in {200, 400}


def test_labels_of_the_parameter_on_a_bad_document_do_not_break(owner: Api, workspace: Workspace) -> None:
    for labels in (None, [1], "x", 5):
        status, _ = owner.post("services", {**tiny_document("chat"), "labels": labels}, Labels='{"a": "b"}')
        assert status == (201 if labels is None else 400)


def test_a_body_over_the_limit_is_413(owner: Api, workspace: Workspace) -> None:
    status, answer = owner.post("services", b" " * (4 * 1024 * 1024 + 1))
    assert (status, answer["Code"]) == (413, "BodyTooLarge")


def test_a_form_with_files_is_400(owner: Api) -> None:
    owner.client.force_login(owner.user)  # type: ignore[arg-type]  # with a user by construction
    response = Api(None).client.post("/api/v2/services", {"a": "b"}, headers=owner.headers)
    assert response.status_code == 400
    assert owner.client.post("/api/v2/services", {"a": "b"}).status_code == 400


# Events


def test_events_carry_code_and_cure_newest_first(owner: Api, service: Service) -> None:
    owner.put("services/local/chat/stop")
    status, answer = owner.get("services/local/chat/events")
    assert status == 200
    assert [one["Code"] for one in answer["Events"]] == ["Stopping", "Created"]
    assert set(get_type_hints(EventFields)) == set(answer["Events"][0])
    assert_nothing_is_null(answer)
    assert (answer["TotalCount"], answer["TotalPageNum"], answer["PageNum"]) == (2, 1, 1)
    assert owner.get("services/local/chat/events", EventType="Warning")[1]["TotalCount"] == 0
    assert owner.get("services/local/chat/events", PageSize="1", PageNum="2")[1]["Events"][0]["Code"] == "Created"


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2999-01-01T00:00:00Z", 0),
        ("2020-01-01T00:00:00+00:00", 1),
        ("2020-01-01T00:00:00 00:00", 1),
        ("2020-01-01 00:00", 1),
    ],
)
def test_events_since_a_time(owner: Api, service: Service, since: str, count: int) -> None:
    assert owner.get("services/local/chat/events", StartTime=since)[1]["TotalCount"] == count


@pytest.mark.parametrize(
    "value",
    ["yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\0", "1" * 400],
)
@pytest.mark.parametrize("parameter", ["StartTime", "EndTime"])
def test_a_wrong_time_is_named(owner: Api, service: Service, parameter: str, value: str) -> None:
    status, answer = owner.get("services/local/chat/events", **{parameter: value})
    assert status == 400
    assert answer["Errors"][0]["Field"] == parameter


@pytest.mark.django_db(transaction=True)
def test_of_creates_of_one_name_at_once_one_wins(owner: Api, workspace: Workspace) -> None:
    owner.get("me")  # the password is now remembered
    answers: list[tuple[int, str]] = []
    gate = threading.Barrier(8)

    def create() -> None:
        try:
            gate.wait()
            status, answer = Api(owner.user).post("services", tiny_document("chat"))
            answers.append((status, answer.get("Code", "")))
        finally:
            connection.close()

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(201, "")] + [(409, "name_taken")] * 7
    assert Service.objects.count() == 1
    assert AuditEntry.objects.filter(action="service.create").count() == 1


def test_a_message_names_the_field_whose_rule_does_not(operator: Api) -> None:
    status, answer = operator.post("services", tiny_document("No!"))
    assert status == 400
    assert answer["Message"].startswith("metadata.name: ")
    assert not answer["Errors"][0]["Message"].startswith("metadata.name")
